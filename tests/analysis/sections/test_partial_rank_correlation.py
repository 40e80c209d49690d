"""Partial rank correlations within cells, against closed forms, least squares, and tables without one data seed."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.api import OLS, add_constant

from analysis.sections.partial_rank_correlation import SECTION, partial_rank_correlation
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.stats.reweighted import weighted_midranks

X, Y, A = "test_ood.iou.integrated_gradients", "test_ood.auc", "test_id.auc"


def table(rng=0, seeds=12, digits=3, severities=(0.5, 1.0), datasets=("d",), noise=1.0):
    """Both scores follow the ID score, and share something beside it; the outcome's ID slope turns with severity."""
    generator = np.random.default_rng(rng)
    rows = []
    for dataset in datasets:
        for severity in severities:
            for position, method in enumerate(("baseline", "masked", "rrr")):
                for seed in range(seeds):
                    a, u, v = generator.normal(size=3)
                    rows.append(
                        {"dataset": dataset, "severity": severity, "method": method, "seed": seed, "data_seed": seed}
                        | {A: round(a, digits), X: round(a + u + position, digits)}
                        | {Y: round((3 - 4 * severity) * a + 0.5 * u + noise * v - position, digits)}
                    )
    return pd.DataFrame(rows)


def partials(data):
    return partial_rank_correlation(data, X, Y, draw_resamples(data, replicates=1, seed=0))


def by_least_squares(data):
    """Fisher's z over cells, weights n − 4, of Pearson's correlation of statsmodels' residuals of scipy's ranks."""
    total = weights = 0.0
    for _, cell in data[data["severity"] > 0].groupby(["dataset", "severity", "method"]):
        ranks = {c: stats.rankdata(cell[c]) for c in (X, Y, A)}
        rest = [OLS(ranks[c], add_constant(ranks[A])).fit().resid for c in (X, Y)]
        total += (len(cell) - 4) * math.atanh(stats.pearsonr(*rest).statistic)
        weights += len(cell) - 4
    return math.tanh(total / weights)


@pytest.mark.parametrize("digits", [0, 3])
def test_one_cell_is_the_closed_form(digits):
    data = table(digits=digits)
    data = data[(data["method"] == "rrr") & (data["severity"] == 1)].reset_index(drop=True)
    r = stats.spearmanr(data[[X, Y, A]]).statistic
    expected = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    for found in partials(data):
        assert found.estimate == pytest.approx(expected)
        assert found.df == len(data) - 3


@pytest.mark.parametrize("digits", [1, 3])
def test_cells_are_combined_each_with_its_own_slope(digits):
    data = table(digits=digits, severities=(0.0, 0.5, 1.0))
    overall, *strata = partials(data)
    assert overall.estimate == pytest.approx(by_least_squares(data))
    assert (overall.n, overall.n_cells, overall.df) == (72, 6, 72 - 3 * 6)
    assert overall.left_out == {"no shift (severity 0)": 3}
    assert [(part.dataset, part.severity) for part in strata] == [("d", 0.5), ("d", 1.0)]
    for part in strata:
        assert part.estimate == pytest.approx(by_least_squares(data[data["severity"] == part.severity]))


def test_a_slope_that_turns_with_severity_leaves_nothing_behind():
    # Both scores follow the ID score up to noise, the outcome with opposite signs at the two severities. Given one
    # slope over everything they would still go together, by the ID score; given one per cell nothing links them.
    generator = np.random.default_rng(2)
    data = table(seeds=80)
    sign = np.where(data["severity"] == 1, -1.0, 1.0)
    data[X] = sign * data[A] + 0.3 * generator.normal(size=len(data))
    data[Y] = sign * data[A] + 0.3 * generator.normal(size=len(data))
    ranks = {c: stats.rankdata(data[c]) for c in (X, Y, A)}
    one_slope = [OLS(ranks[c], add_constant(ranks[A])).fit().resid for c in (X, Y)]
    assert stats.pearsonr(*one_slope).statistic > 0.8
    assert abs(partials(data)[0].estimate) < 0.1


@pytest.mark.parametrize("datasets", [("d",), ("d", "e")])
def test_the_interval_leaves_out_each_data_seed(datasets):
    data = table(digits=1, datasets=datasets).sample(frac=0.9, random_state=0).reset_index(drop=True)  # uneven cells
    found = partials(data)[0]
    squares = 0.0
    for dataset, part in data.groupby("dataset"):
        without = [data[(data["dataset"] != dataset) | (data["data_seed"] != seed)] for seed in range(12)]
        z = [math.atanh(by_least_squares(rest)) for rest in without]
        n, weight = len(part), len(part) - 4 * part.groupby(["severity", "method"]).ngroups
        squares += (weight - n / 12) / weight * 12 * np.var(z)
    low, high = (math.atanh(bound) for bound in (found.ci_low, found.ci_high))
    assert (low + high) / 2 == pytest.approx(math.atanh(found.estimate))
    reach = (high - low) / 2 / squares**0.5
    if len(datasets) == 1:
        assert reach == pytest.approx(stats.t.ppf(0.975, 11))
        assert found.p_value == pytest.approx(2 * stats.t.sf(abs(low + high) / 2 / squares**0.5, 11))
    else:  # the degrees of freedom lie between those of one dataset and those of both
        assert stats.t.ppf(0.975, 22) * (1 - 1e-9) <= reach <= stats.t.ppf(0.975, 11)
    assert found.n_clusters == 12 * len(datasets)


@pytest.mark.slow
def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    held = 0
    for rng in range(100):
        # Given a, x and y share u with weights 1 and .5: rho of normals with r = .5 / sqrt(1.25).
        found = partials(table(rng=1000 + rng, seeds=16))[0]
        truth = 6 / math.pi * math.asin(0.5 / math.sqrt(1.25) / 2)
        held += found.ci_low <= truth <= found.ci_high
    assert 86 <= held <= 100


def test_missing_values_are_dropped_and_counted():
    data = table()
    for row, column in enumerate((X, Y, A)):
        data.loc[row, column] = np.nan
    found = partials(data)[0]
    assert (found.n, found.n_missing) == (len(data) - 3, 3)
    assert found.estimate == pytest.approx(partials(data.dropna().reset_index(drop=True))[0].estimate)


def test_a_constant_id_score_explains_nothing():
    data = table()
    data = data[(data["method"] == "rrr") & (data["severity"] == 1)].assign(**{A: 0.9}).reset_index(drop=True)
    assert partials(data)[0].estimate == pytest.approx(stats.spearmanr(data[X], data[Y]).statistic)


def test_cells_without_one_are_left_out_and_counted():
    data = table()
    small = (data["method"] == "rrr") & (data["data_seed"] > 3)
    data.loc[data["method"] == "masked", X] = 1.0
    found = partials(data[~small].reset_index(drop=True))[0]
    assert found.n_cells == 2
    determined = "the covariate determines the ranks of the score or the outcome"
    assert found.left_out == {"fewer than 5 trials": 2, determined: 2}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.drop(columns=A), f"no trial has the column '{A}'"),
        (lambda t: t.iloc[:1], "no cell has one (1 cell: fewer than 5 trials)"),
        (lambda t: t.assign(severity=0.0), "no cell has one (3 cells: no shift (severity 0))"),
        (
            lambda t: t.assign(**{Y: t[A]}),
            "no cell has one (6 cells: the covariate determines the ranks of the score or the outcome)",
        ),
    ],
)
def test_what_is_undefined_says_why(change, reason):
    found = partials(change(table()))[0]
    assert (found.estimate, found.ci_low, found.reason) == (None, None, reason)


def test_few_data_seeds_have_no_interval():
    found = partials(table(seeds=5))[0]
    assert found.estimate is not None
    assert (found.ci_low, found.interval_reason) == (None, "fewer than 6 data seeds on a dataset")


def test_report_json_calls_covariates_controls():
    (entry,) = SECTION.json(SimpleNamespace(results={"partial": tuple(partials(table())[:1])}))["partial"]
    assert entry["controls"] == (A, "dataset", "severity", "method")
    assert "covariates" not in entry


def test_weighted_midranks_are_those_of_the_repeated_sample():
    values = np.array([3.0, 1.0, 2.0, 2.0, 5.0])
    weights = np.array([[1.0, 1, 1, 1, 1], [2, 0, 1, 3, 1], [0, 0, 4, 0, 1]])
    for row, ranks in zip(weights, weighted_midranks(values, weights), strict=True):
        repeated = stats.rankdata(np.repeat(values, row.astype(int)))
        first = np.cumsum(row).astype(int) - 1
        drawn = row > 0
        assert ranks[drawn] == pytest.approx(repeated[first[drawn]])
