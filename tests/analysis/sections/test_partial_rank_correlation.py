"""Partial rank correlations, against closed forms, least squares, and tables without one data seed."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.api import OLS

from analysis.sections.partial_rank_correlation import partial_rank_correlation
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.stats.reweighted import weighted_midranks

X, Y, A = "test_ood.iou.integrated_gradients", "test_ood.auc", "test_id.auc"
CONTROLS = {"numeric": [A], "categorical": ["severity", "method"]}


def table(rng=0, seeds=12, digits=3):
    generator = np.random.default_rng(rng)
    rows = []
    for severity in (0.0, 0.5, 1.0):
        for position, method in enumerate(("baseline", "masked", "rrr")):
            for seed in range(seeds):
                a, u, v = generator.normal(size=3)
                rows.append(
                    {"dataset": "d", "severity": severity, "method": method, "seed": seed, "data_seed": seed}
                    | {A: round(a, digits), X: round(a + u + position, digits)}
                    | {Y: round(a + 0.5 * u + v - position - severity, digits)}
                )
    return pd.DataFrame(rows)


def partial(data, **covariates):
    return partial_rank_correlation(data, X, Y, draw_resamples(data, replicates=1, seed=0), **covariates)


def by_least_squares(data):
    """The definition, with statsmodels' residuals."""
    covariates = pd.get_dummies(data[["severity", "method"]].astype(str), drop_first=True).astype(float)
    covariates.insert(0, "a", stats.rankdata(data[A]))
    covariates.insert(0, "constant", 1.0)
    left = [OLS(stats.rankdata(data[c]), covariates.to_numpy()).fit().resid for c in (X, Y)]
    return stats.pearsonr(*left).statistic


@pytest.mark.parametrize("digits", [0, 3])
def test_one_covariate_is_the_closed_form(digits):
    data = table(digits=digits)
    r = stats.spearmanr(data[[X, Y, A]]).statistic
    expected = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    found = partial(data, numeric=[A])
    assert found.estimate == pytest.approx(expected)
    assert found.df == len(data) - 2 - 1


def test_no_covariate_is_spearmans_rho():
    data = table(digits=0)
    assert partial(data).estimate == pytest.approx(stats.spearmanr(data[X], data[Y]).statistic)


def test_categorical_covariates_against_least_squares():
    data = table(digits=1)
    found = partial(data, **CONTROLS)
    assert found.estimate == pytest.approx(by_least_squares(data))
    assert found.df == len(data) - 2 - (1 + 2 + 2)


def test_covariates_change_the_answer_as_they_should():
    # Better ID accuracy makes both scores; nothing else links them.
    generator = np.random.default_rng(2)
    data = table(seeds=60)
    data[X], data[Y] = (data[A] + 0.3 * generator.normal(size=len(data)) for _ in range(2))
    assert partial(data).estimate > 0.8
    assert abs(partial(data, numeric=[A]).estimate) < 0.1


def test_the_interval_leaves_out_each_data_seed():
    data = table(digits=1).sample(frac=0.7, random_state=0).reset_index(drop=True)  # cells of uneven sizes
    found = partial(data, **CONTROLS)
    z = [math.atanh(by_least_squares(data[data["data_seed"] != seed])) for seed in range(12)]
    n, df = len(data), found.df
    error = math.sqrt((df - n / 12) / df * 12 * np.var(z))
    reach = stats.t.ppf(0.975, 11) * error
    expected = math.tanh(math.atanh(found.estimate) - reach), math.tanh(math.atanh(found.estimate) + reach)
    assert (found.ci_low, found.ci_high) == pytest.approx(expected)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(math.atanh(found.estimate)) / error, 11))
    assert found.n_clusters == 12


@pytest.mark.slow
def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    held = 0
    for rng in range(100):
        data = table(rng=1000 + rng, seeds=8)
        # Given a, severity and method, x and y share u with weights 1 and .5: rho of normals with r = .5 / sqrt(1.25).
        found = partial(data, **CONTROLS)
        truth = 6 / math.pi * math.asin(0.5 / math.sqrt(1.25) / 2)
        held += found.ci_low <= truth <= found.ci_high
    assert 88 <= held <= 100


def test_missing_values_are_dropped_and_counted():
    data = table()
    for row, column in enumerate((X, Y, A)):
        data.loc[row, column] = np.nan
    found = partial(data, numeric=[A])
    assert (found.n, found.n_missing) == (len(data) - 3, 3)
    assert found.estimate == pytest.approx(partial(data.dropna().reset_index(drop=True), numeric=[A]).estimate)


def test_two_equal_covariates_count_once():
    data = table().assign(copy=lambda t: t[A])
    found = partial(data, numeric=[A, "copy"])
    assert found.estimate == pytest.approx(partial(data, numeric=[A]).estimate)
    assert found.df == len(data) - 2 - 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.drop(columns=A), f"no trial has the column '{A}'"),
        (lambda t: t.iloc[:1], "fewer than 2 trials"),
        (lambda t: t.iloc[:3], "3 trials leave no degree of freedom"),
        (lambda t: t.assign(**{Y: t[A]}), "the covariates determine the ranks of the score or the outcome"),
        (lambda t: t.assign(**{X: 1.0}), "the covariates determine the ranks of the score or the outcome"),
    ],
)
def test_what_is_undefined_says_why(change, reason):
    found = partial(change(table()), numeric=[A])
    assert (found.estimate, found.ci_low, found.reason) == (None, None, reason)


def test_few_data_seeds_have_no_interval():
    found = partial(table(seeds=5), numeric=[A])
    assert found.estimate is not None
    assert (found.ci_low, found.interval_reason) == (None, "fewer than 6 data seeds on a dataset")


def test_weighted_midranks_are_those_of_the_repeated_sample():
    values = np.array([3.0, 1.0, 2.0, 2.0, 5.0])
    weights = np.array([[1.0, 1, 1, 1, 1], [2, 0, 1, 3, 1], [0, 0, 4, 0, 1]])
    for row, ranks in zip(weights, weighted_midranks(values, weights), strict=True):
        repeated = stats.rankdata(np.repeat(values, row.astype(int)))
        first = np.cumsum(row).astype(int) - 1
        drawn = row > 0
        assert ranks[drawn] == pytest.approx(repeated[first[drawn]])
