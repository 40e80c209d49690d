"""The mixed model, against statsmodels' formula interface, least squares in a balanced case, and known slopes."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from analysis.sections.mixed_model import SECTION, Coefficient, MixedModel, mixed_model

X, AUC, ACCURACY, A = "test_ood.iou.integrated_gradients", "test_ood.auc", "test_ood.accuracy", "test_id.auc"


def table(rng=0, *, datasets=("d",), seeds=10, within=2.0, shared=0.3):
    """Accuracy of n = 2,000 images, whose logit follows the score within each cell with slope `within`."""
    generator = np.random.default_rng(rng)
    rows = []
    for d, dataset in enumerate(datasets):
        effects = shared * generator.normal(size=seeds)
        for severity in (0.5, 1.0):
            for position, method in enumerate(("baseline", "masked", "rrr")):
                level = 0.2 + 0.1 * position + 0.05 * d * severity
                for seed in range(seeds):
                    x, a, e = generator.normal(size=3)
                    score = level + 0.1 * x
                    slope = 0.2 if severity == 1 else -0.2
                    logit = 1 - severity - 0.3 * position + within * 0.1 * x + effects[seed] + 0.2 * e + slope * a
                    rows.append(
                        {"dataset": dataset, "severity": severity, "method": method, "seed": seed, "data_seed": seed}
                        | {X: score, ACCURACY: round(2000 / (1 + np.exp(-logit))) / 2000, AUC: 0.5}
                        | {A: 0.9 + 0.02 * a, "test_ood.n": 2000}
                    )
    return pd.DataFrame(rows)


def frame_of(data):
    return data.rename(columns={X: "mu", A: "a"}).assign(
        y=lambda t: np.log((t[ACCURACY] * 2000 + 0.5) / (2000 - t[ACCURACY] * 2000 + 0.5)),
        cell=lambda t: t["dataset"] + t["severity"].astype(str) + t["method"],
        group=lambda t: t["dataset"] + t["data_seed"].astype(str),
    )


@pytest.mark.parametrize("datasets", [("d",), ("d", "e", "f")])
def test_against_statsmodels_formulas(datasets):
    data = table(datasets=datasets)
    frame = frame_of(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = smf.mixedlm("y ~ mu + C(cell) + C(cell):a", frame, groups=frame["group"]).fit()
    found = mixed_model(data, X, AUC)
    (own,) = found.coefficients
    assert own.estimate == pytest.approx(expected.params["mu"], rel=1e-3)
    assert found.variances["residual"] == pytest.approx(expected.scale, rel=1e-2)
    assert found.variances["data_seed"] == pytest.approx(float(expected.cov_re.iloc[0, 0]), rel=2e-2)
    assert found.converged
    assert (found.n_groups, found.n_cells) == (10 * len(datasets), 6 * len(datasets))


def test_errors_are_the_sandwich_over_data_seeds():
    data = table(datasets=("d", "e"))
    frame, found = frame_of(data), mixed_model(data, X, AUC)
    cells = pd.get_dummies(frame["cell"]).astype(float).to_numpy()
    x = np.column_stack([frame["mu"], cells, cells * frame[["a"]].to_numpy()])
    y, n, p = frame["y"].to_numpy(), *x.shape
    bread, meat, cross = np.zeros((p, p)), np.zeros((p, p)), np.zeros(p)
    inverses = []
    for rows in frame.groupby("group").indices.values():
        between = np.full((len(rows), len(rows)), found.variances["data_seed"])
        inverses.append((rows, np.linalg.inv(found.variances["residual"] * np.eye(len(rows)) + between)))
        bread += x[rows].T @ inverses[-1][1] @ x[rows]
        cross += x[rows].T @ inverses[-1][1] @ y[rows]
    slopes = np.linalg.solve(bread, cross)
    for rows, inverse in inverses:
        score = x[rows].T @ inverse @ (y[rows] - x[rows] @ slopes)
        meat += np.outer(score, score)
    factor = 20 / 19 * (n - 1) / (n - p)
    error = np.sqrt(factor * (np.linalg.inv(bread) @ meat @ np.linalg.inv(bread))[0, 0])
    (own,) = found.coefficients
    assert own.estimate == pytest.approx(slopes[0], rel=1e-6)
    assert own.standard_error == pytest.approx(error, rel=1e-6)
    reach = stats.t.ppf(0.975, 18) * error
    assert (own.ci_low, own.ci_high) == pytest.approx((slopes[0] - reach, slopes[0] + reach), rel=1e-6)
    assert own.p_value == pytest.approx(2 * stats.t.sf(slopes[0] / error, 18), rel=1e-4)


def test_an_id_slope_that_turns_with_severity_is_no_effect_of_the_map():
    # The score follows the ID score, whose slope on the outcome turns: one slope over both severities credits the map.
    data = table(within=0.0, seeds=40)
    noise = np.random.default_rng(1).normal(size=len(data))
    sign = np.where(data["severity"] == 1, 1.0, -1.0)
    data[X] = 0.3 + sign * (data[A] - 0.9) * 2 + 0.02 * noise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one_slope = smf.ols("y ~ mu + C(cell) + a", frame_of(data)).fit()
    assert one_slope.conf_int().loc["mu", 0] > 2
    own = mixed_model(data, X, AUC).coefficient("mu_within")
    assert own.ci_low < 0 < own.ci_high


def test_a_known_slope_is_found():
    own = mixed_model(table(seeds=60, datasets=("d", "e")), X, AUC).coefficient("mu_within")
    assert own.ci_low < 2.0 < own.ci_high
    assert own.standard_error < 0.2


def test_the_cells_determine_mu_between():
    found = mixed_model(table(datasets=("d", "e")), X, AUC)
    assert found.coefficient("mu_between") is None
    assert found.dropped == {"mu_between": "the cells determine it"}


def test_strata_without_a_shift_and_small_cells_are_left_out_and_counted():
    data = table()
    data.loc[data["method"] == "rrr", "severity"] *= data["severity"] > 0.5
    data = data[(data["method"] != "masked") | (data["data_seed"] < 4)].reset_index(drop=True)
    found = mixed_model(data, X, AUC)
    assert found.left_out == {"no shift (severity 0)": 1, "fewer than 5 trials": 2}
    assert (found.n, found.n_cells) == (30, 3)


def test_without_an_effect_of_data_seeds_it_is_nearly_least_squares():
    data = table(shared=0.0, seeds=40)
    cell = data.groupby(["severity", "method"]).ngroup()
    correct = data[ACCURACY] * 2000
    y = np.log((correct + 0.5) / (2000 - correct + 0.5))
    design = np.column_stack([data[X], np.eye(6)[cell], np.eye(6)[cell] * data[[A]].to_numpy()])
    slope = np.linalg.lstsq(design, y, rcond=None)[0][0]
    found = mixed_model(data, X, AUC)
    assert found.coefficient("mu_within").estimate == pytest.approx(slope, rel=0.1)
    assert found.variances["data_seed"] < 0.1 * found.variances["residual"]


def test_a_fit_that_fails_to_converge_is_returned_as_such():
    # The outcome has no noise at all beside the fixed effects: no variance is left to split.
    data = table(shared=0.0)
    logit = 1 - data["severity"] + 2 * data[X]
    data[ACCURACY] = 1 / (1 + np.exp(-logit))
    found = mixed_model(data, X, AUC)
    assert found.warnings
    assert not found.converged


def test_an_id_score_that_is_absent_or_constant_explains_nothing():
    assert mixed_model(table().drop(columns=A), X, AUC).dropped["a"] == f"no trial has the column '{A}'"
    constant = mixed_model(table().assign(**{A: 1.0}), X, AUC).coefficient("mu_within")
    absent = mixed_model(table().drop(columns=A), X, AUC).coefficient("mu_within")
    assert constant.estimate == pytest.approx(absent.estimate)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.drop(columns=X), f"no trial has the column '{X}'"),
        (lambda t: t.drop(columns="test_ood.n"), "'test_ood.n' or 'hp.n_test'"),
        (lambda t: t.drop(columns=ACCURACY).assign(**{"test_ood.n_smaller_class": 9}), "share of correct answers"),
        (lambda t: pd.concat([t[t["data_seed"] < 4]] * 2), "4 data seeds, fewer than 5"),
        (lambda t: t.assign(**{ACCURACY: 1.0}), "constant outcome"),
        (lambda t: t[t["method"].eq("rrr") & t["severity"].eq(1)], "each data seed has one trial"),
        (lambda t: t.assign(severity=0.0), "no cell can be used (3 cells: no shift (severity 0))"),
        (lambda t: pd.concat([t] * 400, ignore_index=True), "24,000 trials, more than 20,000"),
    ],
)
def test_what_cannot_be_fitted_says_why(change, reason):
    found = mixed_model(change(table()), X, AUC)
    assert found.coefficients == ()
    assert reason in found.reason


def test_missing_values_are_dropped_and_counted():
    data = table()
    data.loc[0, X] = np.nan
    data.loc[1, A] = np.nan
    assert mixed_model(data, X, AUC).n_missing == 2


def test_the_caption_counts_what_was_used_and_left_out():
    data = table()
    data.loc[(data["method"] == "rrr") & (data["severity"] == 1.0), "severity"] = 0.0
    (shown,) = SECTION.tables(None, mixed_model(data, X, AUC))
    assert shown.caption.endswith(
        " 50 trials in 5 cells with 10 data seeds in all; left out: 1 cell: no shift (severity 0)."
    )
    (shown,) = SECTION.tables(None, mixed_model(data[data["data_seed"] < 4], X, AUC))
    assert shown.caption.endswith("cluster-robust by data seed.")


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4, 1e-9])
def test_the_odds_are_of_a_step_that_scores_differ_by(scale):
    """Scores on a finer scale have a slope as many times steeper, and the sentence a step as many times smaller."""
    data, plain = table().assign(**{X: lambda t: 0.3 + scale * t[X]}), mixed_model(table(), X, AUC)
    found = mixed_model(data, X, AUC)
    assert found.coefficient("mu_within").estimate * scale == pytest.approx(
        plain.coefficient("mu_within").estimate, rel=1e-3
    )
    words = SECTION.sentence(None, found)
    odds = SECTION.sentence(None, plain).partition("multiplies")[2]
    assert f"a map score higher by {0.1 * scale:g} multiplies{odds}" in words


def test_odds_beyond_a_thousand_are_not_written_out():
    own = Coefficient("mu_within", 1e4, 1e3, 50.0, 2e4, 0.01)
    fit = MixedModel(X, ACCURACY, 60, 0, 10, spread=0.2, coefficients=(own,), converged=True)
    assert "by over 1,000 (148.41 to over 1,000)" in SECTION.sentence(None, fit)


def test_a_score_that_never_varies_is_determined():
    found = mixed_model(table().assign(**{X: 0.1 + 0.2}), X, AUC)
    assert found.coefficients == ()
    assert found.dropped["mu_within"] == "the cells and the AUC on the ID test set determine it"
