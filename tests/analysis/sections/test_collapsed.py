"""The primary with and without collapsed models."""

import numpy as np
import pytest

import analysis
from analysis.sections.collapsed import without_collapsed

SCORE = analysis.Primary().column


@pytest.fixture
def table(make_table):
    """No correlation among models that learnt; collapsed ones have both a bad map and a bad outcome."""
    table = make_table(rho=0.0, seeds=20)
    table["collapsed"] = table["data_seed"] < 6
    table.loc[table["collapsed"], [SCORE, "test_ood.auc"]] -= 0.3
    return table


def compared(table):
    trials = analysis.trials_from_table(table, sweep="s", source="t")
    within = analysis.analyse(trials, replicates=100).find("within_cell")
    return within, without_collapsed(trials.table, analysis.Primary(), within, replicates=100, seed=0)


def test_collapsed_models_make_a_correlation_that_goes_without_them(table):
    within, found = compared(table)
    assert (found.n_collapsed, found.n) == (48, 160)
    assert within.ci_low > 0.3
    assert found.without.n == 112
    assert abs(found.without.estimate) < 0.25
    rest = table[~table["collapsed"]]
    alone = analysis.analyse(rest.drop(columns="collapsed"), replicates=100).find("within_cell")
    assert (found.without.estimate, found.without.ci_low) == (alone.estimate, alone.ci_low)
    assert found.sentence.startswith("48 models of 160 collapsed to one answer for all images. Without them")


def test_none_and_all_collapsed_and_unknown(table):
    _, found = compared(table.assign(collapsed=False))
    assert (found.n_collapsed, found.without) == (0, None)
    _, found = compared(table.assign(collapsed=True))
    assert found.without is None
    assert "no other remains" in found.sentence
    assert compared(table.drop(columns="collapsed"))[1] is None


def test_too_few_are_left(table):
    table["collapsed"] = np.arange(len(table)) % 20 > 2
    _, found = compared(table)
    assert "Without them the correlation within cells is undefined (none of the 8 cells" in found.sentence
