"""Probes and validation AUC beside the map."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.answer.answer import answer
from analysis.answer.cells import Data
from analysis.sections.predictors import SECTION, Scored, advantages, better, predictors
from analysis.stats.cluster_bootstrap import draw_resamples
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
        "AUC with another image’s pixels outside the mask predicts OOD test AUC better than the map of shifted images: "
        "between seeds 0.9"
    )


def sides(table, resamples, declared):
    """The probe and the map."""
    return [Scored.of(Data(table, score, "test_ood.auc", resamples, 0), declared) for score in (SWAPPED, SCORE)]


def by_hand(table, scores, methods):
    """Mean of Fisher's z over the methods, each without what images do to the other methods."""
    names = [*scores, "test_ood.auc"]
    rest = table[names] - table.groupby("method")[names].transform("mean")
    of_seed = rest.groupby(table["data_seed"])
    others = (of_seed.transform("sum") - rest) / (of_seed.transform("count") - 1)
    by_method = dict(list((table[names] - others).groupby(table["method"])))
    trials = [by_method[method] for method in methods]
    return [np.mean([np.arctanh(stats.spearmanr(t[c], t["test_ood.auc"]).statistic) for t in trials]) for c in scores]


def test_the_difference_is_of_fishers_z(table):
    resamples = answer(table, replicates=100).resamples
    seed = advantages(*sides(table, resamples, ("seed",)), ("seed",))[0]
    first, second = by_hand(table, (SWAPPED, SCORE), table["method"].unique())
    assert (seed.first, seed.second) == pytest.approx((np.tanh(first), np.tanh(second)))
    assert seed.low < first - second < seed.high


@pytest.fixture(scope="module")
def two_datasets(make_table):
    """The map predicts on the one dataset and not on the other, where alone there is a probe, which does not either."""
    sides = [make_table(rho=rho, seeds=12, severities=(1.0,), datasets=(d,), rng=rng) for rng, (d, rho) in RHO.items()]
    table = pd.concat(sides, ignore_index=True)
    table["valid_id.auc"] = table["test_id.auc"] = 0.9 + 0.01 * np.random.default_rng(2).normal(size=len(table))
    noise = np.random.default_rng(3).normal(size=len(table))
    return table.assign(**{SWAPPED: np.where(table["dataset"] == "crosses", np.nan, noise)})


RHO = {0: ("crosses", 0.95), 1: ("digits", 0.0)}


def test_two_scores_are_compared_on_the_trials_that_have_both(two_datasets):
    of_digits = two_datasets[two_datasets["dataset"] == "digits"].reset_index(drop=True)
    of_all, alone = (
        advantages(*sides(t, draw_resamples(t, replicates=1, seed=0), columns.COMPARISONS), columns.COMPARISONS)
        for t in (two_datasets, of_digits)
    )
    for one, other in zip(of_all, alone, strict=True):
        for part in ("first", "second", "low", "high", "p_value"):
            assert getattr(one, part) == (None if getattr(other, part) is None else pytest.approx(getattr(other, part)))


def test_a_probe_that_one_dataset_lacks_is_not_worse_for_that(two_datasets):
    answered = answer(two_datasets, replicates=100)
    result = predictors(answered)
    assert [p.column for p, _ in better(result, sign=-1)] == ["valid_id.auc"]
    (written,) = SECTION.tables(answered, result)
    assert "Rows rest on different trials" in written.caption
    whole = answer(two_datasets.drop(columns=SWAPPED), replicates=100)
    (written,) = SECTION.tables(whole, predictors(whole))
    assert "different trials" not in written.caption


def test_two_scores_are_compared_over_the_cells_where_both_vary(table):
    constant = table.assign(**{SWAPPED: table[SWAPPED].where(table["method"] != "rrr", 0.5)})
    (seed,) = advantages(*sides(constant, draw_resamples(constant, replicates=1, seed=0), ("seed",)), ("seed",))
    whole = advantages(*sides(table, draw_resamples(table, replicates=1, seed=0), ("seed",)), ("seed",))[0]
    others = [method for method in table["method"].unique() if method != "rrr"]
    # The map is compared over the methods where the probe varies.
    assert np.arctanh(seed.second) == pytest.approx(by_hand(table, (SCORE,), others)[0])
    assert seed.second != pytest.approx(whole.second)
