"""Probes and validation AUC beside the map."""

import numpy as np
import pytest
from scipy import stats

from analysis.answer.advantages import advantages
from analysis.answer.answer import answer
from analysis.answer.parts import Data
from analysis.sections.predictors import SECTION, better, predictors
from records import columns

SCORE = "test_ood.iou.integrated_gradients"
SWAPPED = columns.probe("swapped")


@pytest.fixture(scope="module")
def table(make_table):
    """Seeds alone differ; the map has a correlation of .3 with the outcome, the probe of nearly 1."""
    table = make_table(rho=0.3, seeds=40, severities=(1.0,))
    rng = np.random.default_rng(1)
    table[SWAPPED] = table["test_ood.auc"] + rng.normal(0, 0.004, size=len(table))
    return table


def test_a_probe_that_predicts_better_is_said(table):
    answered = answer(table, replicates=100)
    result = predictors(answered)
    assert [predictor.column for predictor in result] == [SCORE, SWAPPED]
    assert [(p.column, [a.comparison for a in where]) for p, where in better(result)] == [
        (SWAPPED, ["seed", "given_id"])
    ]
    assert SECTION.sentence(answered, result).startswith(
        "AUC, outside swapped predicts OOD test AUC better than the map under the shift: between seeds 0.9"
    )


def test_the_difference_is_of_fishers_z(table):
    resamples = answer(table, replicates=100).resamples
    sides = [Data(table, score, "test_ood.auc", resamples, 0) for score in (SWAPPED, SCORE)]
    seed = advantages(*sides, declared=("seed",))[0]
    rho = [
        np.tanh(
            np.mean(
                [np.arctanh(stats.spearmanr(g[c], g["test_ood.auc"]).statistic) for _, g in table.groupby("method")]
            )
        )
        for c in (SWAPPED, SCORE)
    ]
    assert (seed.first, seed.second) == pytest.approx(tuple(rho))
    assert seed.low < np.arctanh(rho[0]) - np.arctanh(rho[1]) < seed.high


def test_a_score_has_no_advantage_over_itself(table):
    resamples = answer(table, replicates=100).resamples
    twin = table.assign(**{SWAPPED: table[SCORE]})
    sides = [Data(twin, score, "test_ood.auc", resamples, 0) for score in (SWAPPED, SCORE)]
    seed = advantages(*sides, declared=("seed",))[0]
    assert (seed.first, seed.p_value) == (seed.second, None)


def test_without_probes_it_is_said(make_table):
    table = make_table(seeds=8)
    table["valid_id.auc"] = np.random.default_rng(0).uniform(0.8, 0.9, size=len(table))
    answered = answer(table, replicates=100)
    assert "These trials have no probes" in SECTION.sentence(answered, predictors(answered))


def test_what_was_not_tested_is_not_called_equal(table):
    """One data seed gives no interval."""
    alone = table[table["data_seed"] == table["data_seed"].iloc[0]]
    answered = answer(alone, replicates=100)
    assert SECTION.sentence(answered, predictors(answered)) == "No score could be tested against the map."
