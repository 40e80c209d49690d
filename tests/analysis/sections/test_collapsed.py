"""The primary with and without collapsed models, and models below chance, by scipy's exact law."""

import numpy as np
import pytest
from scipy import stats

import analysis
from analysis.numbers import name
from analysis.sections.collapsed import SECTION, below_chance

SCORE = analysis.Primary().column


@pytest.fixture
def table(make_table):
    """No correlation among models that learnt; collapsed ones have both a bad map and a bad outcome."""
    table = make_table(rho=0.0, seeds=20)
    table["collapsed"] = table["data_seed"] < 6
    table.loc[table["collapsed"], [SCORE, "test_ood.auc"]] -= 0.3
    return table


def compared(table):
    result = analysis.analyse(table, replicates=100)
    return result.find("within_cell"), result.results["unlearnt"].without_collapsed


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


@pytest.mark.parametrize(
    ("collapsed", "words"),
    [
        (lambda t: False, "No model collapsed"),
        (lambda t: True, "no other remains"),
        (lambda t: np.arange(len(t)) % 20 > 2, "Without them the correlation within cells is undefined (none of the 8"),
    ],
)
def test_without_enough_others_there_is_no_correlation(table, collapsed, words):
    _, found = compared(table.assign(collapsed=collapsed(table)))
    assert found.without is None or found.without.estimate is None
    assert words in found.sentence


def test_models_below_chance_by_more_than_noise_are_counted_and_named(make_table):
    table = make_table(seeds=20).assign(**{"test_id.n": 60})
    # The law of an uninformative model's AUC: Mann and Whitney's U of 30 and 30 images, over 900.
    generator = np.random.default_rng(0)
    draws = stats.mannwhitneyu(*generator.normal(size=(2, 30, 20_000)), method="asymptotic").statistic / 900
    table["test_id.auc"] = generator.choice(draws, size=len(table))
    assert below_chance(table).models == ()
    limit = 0.5 + stats.norm.ppf(0.05 / len(table)) * draws.std()
    table.loc[[3, 50], "test_id.auc"] = limit - 0.01, 0.05
    table.loc[70, "test_id.auc"] = limit + 0.01
    found = below_chance(table)
    assert found.n == len(table)
    assert [model["trial_key"] for model in found.models] == list(table.loc[[50, 3], "trial_key"])
    result = analysis.analyse(table, replicates=100)
    sentence = SECTION.sentence(result, result.results["unlearnt"])
    row = table.loc[50]
    assert sentence.startswith("2 models of 160 are below chance on the ID test set by more than noise: ")
    assert f"{name(row['method'])} at crosses, s = {row['severity']:g}, seed {row['seed']} (AUC 0.05)" in sentence


def test_with_unequal_classes_the_limit_is_lower(make_table):
    table = make_table(seeds=5).assign(**{"test_id.n": 1000, "test_id.auc": 0.4})
    assert len(below_chance(table).models) == len(table)
    assert below_chance(table.assign(**{"test_id.n_smaller_class": 20})).models == ()
    assert below_chance(table.drop(columns="test_id.n")) is None
