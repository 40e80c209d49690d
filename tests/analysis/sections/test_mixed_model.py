"""The mixed model, against statsmodels' formula interface, least squares in a balanced case, and known slopes."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from analysis.sections.mixed_model import mixed_model

X, AUC, ACCURACY, A = "test_ood.iou.integrated_gradients", "test_ood.auc", "test_ood.accuracy", "test_id.auc"


def table(rng=0, *, datasets=("d",), seeds=10, within=2.0, shared=0.3):
    """Accuracy of n = 2,000 images, whose logit follows the score within each cell with slope `within`."""
    generator = np.random.default_rng(rng)
    rows = []
    for d, dataset in enumerate(datasets):
        effects = shared * generator.normal(size=seeds)
        for severity in (0.0, 1.0):
            for position, method in enumerate(("baseline", "masked", "rrr")):
                level = 0.2 + 0.1 * position + 0.05 * d * severity
                for seed in range(seeds):
                    x, a, e = generator.normal(size=3)
                    score = level + 0.1 * x
                    logit = 1 - severity - 0.3 * position + within * 0.1 * x + effects[seed] + 0.2 * e + 0.2 * a
                    rows.append(
                        {"dataset": dataset, "severity": severity, "method": method, "seed": seed, "data_seed": seed}
                        | {X: score, ACCURACY: round(2000 / (1 + np.exp(-logit))) / 2000, AUC: 0.5}
                        | {A: 0.9 + 0.02 * a, "test_ood.n": 2000}
                    )
    return pd.DataFrame(rows)


def by_formula(data, fixed, groups):
    frame = data.rename(columns={X: "mu", A: "a"}).assign(
        correct=lambda t: t[ACCURACY] * 2000,
        y=lambda t: np.log((t["correct"] + 0.5) / (2000 - t["correct"] + 0.5)),
        between=lambda t: t.groupby(["dataset", "severity", "method"])["mu"].transform("mean"),
        within=lambda t: t["mu"] - t["between"],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return smf.mixedlm(f"y ~ within + a + C(severity) * C(method){fixed}", frame, groups=groups(frame)).fit()


@pytest.mark.parametrize("datasets", [("d",), ("d", "e", "f")])
def test_against_statsmodels_formulas(datasets):
    data = table(datasets=datasets)
    fixed = "" if len(datasets) == 1 else " + between + C(dataset)"
    expected = by_formula(data, fixed, lambda t: t["dataset"] + t["data_seed"].astype(str))
    found = mixed_model(data, X, AUC)
    names = {"mu_within": "within", "a": "a"} | ({} if len(datasets) == 1 else {"mu_between": "between"})
    assert {c.term for c in found.coefficients} == set(names)
    for term, name in names.items():
        own = found.coefficient(term)
        assert own.estimate == pytest.approx(expected.params[name], rel=1e-3, abs=1e-3)
        assert own.standard_error == pytest.approx(expected.bse[name], rel=1e-2)
        low, high = expected.conf_int().loc[name]
        assert (own.ci_low, own.ci_high) == pytest.approx((low, high), rel=2e-2, abs=2e-2)
    assert found.variances["residual"] == pytest.approx(expected.scale, rel=1e-2)
    assert found.variances["data_seed"] == pytest.approx(float(expected.cov_re.iloc[0, 0]), rel=2e-2)
    assert found.converged
    assert found.n_groups == 10 * len(datasets)


def test_a_known_slope_is_found():
    own = mixed_model(table(seeds=60, datasets=("d", "e")), X, AUC).coefficient("mu_within")
    assert own.ci_low < 2.0 < own.ci_high
    assert own.standard_error < 0.2


def test_with_one_dataset_the_cells_determine_mu_between():
    found = mixed_model(table(), X, AUC)
    assert found.coefficient("mu_between") is None
    assert found.dropped == {"mu_between": "severity and method (and the dataset) determine it"}


def test_from_five_datasets_on_the_dataset_is_a_random_effect():
    found = mixed_model(table(datasets=("a", "b", "c", "d", "e"), seeds=6), X, AUC)
    assert set(found.variances) == {"dataset", "data_seed", "residual"}
    own = found.coefficient("mu_within")
    assert own.ci_low < 2.0 < own.ci_high


def test_without_an_effect_of_data_seeds_it_is_nearly_least_squares():
    data = table(shared=0.0, seeds=8)
    cell = data.groupby(["severity", "method"]).ngroup()
    correct = data[ACCURACY] * 2000
    y = np.log((correct + 0.5) / (2000 - correct + 0.5))
    design = np.column_stack([np.eye(6)[cell], data[X], data[A]])
    slope = np.linalg.lstsq(design, y, rcond=None)[0][6]
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


def test_a_covariate_that_is_absent_or_constant_is_dropped_and_named():
    assert mixed_model(table().drop(columns=A), X, AUC).dropped["a"] == f"no trial has the column '{A}'"
    assert mixed_model(table().assign(**{A: 1.0}), X, AUC).dropped["a"] == "it does not vary"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.drop(columns=X), f"no trial has the column '{X}'"),
        (lambda t: t.drop(columns="test_ood.n"), "'test_ood.n' or 'hp.n_test'"),
        (lambda t: t.drop(columns=ACCURACY).assign(**{"test_ood.n_smaller_class": 9}), "share of correct answers"),
        (lambda t: t[t["data_seed"] < 4], "4 data seeds, fewer than 5"),
        (lambda t: t.assign(**{ACCURACY: 1.0}), "constant outcome"),
        (lambda t: t[t["severity"].eq(0)].groupby("method").head(2).tail(4).assign(data_seed=range(4)), "4 data seeds"),
        (lambda t: t[t["method"].eq("rrr") & t["severity"].eq(0)], "each data seed has one trial"),
        (lambda t: t.iloc[[0, 11, 22, 33, 44, 55, 56]].assign(data_seed=[0, 0, 1, 2, 3, 4, 5]), "no degree of freedom"),
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
