"""Reliability, against the Spearman-Brown formula on scipy's correlations and tables with one data seed left out."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.sections.reliability import reliability
from analysis.stats.cluster_bootstrap import draw_resamples
from records import columns

X, Y = "test_ood.iou.integrated_gradients", "test_ood.auc"


def table(rng=0, *, seeds=12, noise=0.5, rho=0.6, methods=("baseline", "rrr"), datasets=("d",)):
    """True scores correlated by rho; each half has noise of its own, and the whole is the mean of the halves."""
    generator = np.random.default_rng(rng)
    rows = []
    for dataset in datasets:
        for method in methods:
            for seed in range(seeds):
                u, v = generator.normal(size=2)
                row = {"dataset": dataset, "severity": 1.0, "method": method, "seed": seed, "data_seed": seed}
                for column, true in ((X, u), (Y, rho * u + math.sqrt(1 - rho**2) * v)):
                    halves = true + math.sqrt(2) * noise * generator.normal(size=2)
                    row |= {columns.half(column, i + 1): value for i, value in enumerate(halves)}
                    row[column] = halves.mean()
                rows.append(row)
    return pd.DataFrame(rows)


def found(data):
    return reliability(data, X, Y, draw_resamples(data, replicates=2, seed=0))


def by_hand(data):
    """(raw, reliability of X, of Y): Fisher z over cells of scipy's rho with weight n − 3."""

    def within(a, b):
        cells = [
            (stats.spearmanr(part[a], part[b]).statistic, len(part) - 3)
            for _, part in data.groupby(["dataset", "severity", "method"])
        ]
        return math.tanh(sum(w * math.atanh(r) for r, w in cells) / sum(w for _, w in cells))

    halves = [within(f"{c}.half_1", f"{c}.half_2") for c in (X, Y)]
    return within(X, Y), *(2 * r / (1 + r) for r in halves)


def test_against_scipy_and_the_formulas():
    data = table(seeds=20)
    raw, of_score, of_outcome = by_hand(data)
    result = found(data)
    assert result.raw == pytest.approx(raw)
    assert [h.reliability for h in result.halves] == pytest.approx([of_score, of_outcome])
    assert result.estimate == pytest.approx(raw / math.sqrt(of_score * of_outcome))
    assert (result.n, result.n_clusters, [h.n_cells for h in result.halves]) == (40, 20, [2, 2])


@pytest.mark.parametrize("datasets", [("d",), ("d", "e")])
def test_the_interval_leaves_out_each_data_seed(datasets):
    data = table(datasets=datasets)
    result = found(data)

    def quotient(part):
        raw, a, b = by_hand(part)
        return raw / math.sqrt(a * b)

    assert result.estimate == pytest.approx(np.mean([quotient(part) for _, part in data.groupby("dataset")]))
    variances = []
    for _, part in data.groupby("dataset"):
        values = [quotient(part[part["data_seed"] != seed]) for seed in range(12)]
        variances.append(11 * np.var(values) / len(datasets) ** 2)  # (12 − 1) / 12 of the sum of squares, of the mean
    # Satterthwaite's degrees of freedom: 11 for one dataset, up to 22 for two of equal variance.
    df = sum(variances) ** 2 / sum(v**2 / 11 for v in variances)
    reach = stats.t.ppf(0.975, df) * math.sqrt(sum(variances))
    assert result.ci_low == pytest.approx(result.estimate - reach)
    assert result.ci_high == pytest.approx(result.estimate + reach)


def test_each_stratum_is_corrected_by_its_own_reliability():
    # Half as many images at s = 1: pooled, one reliability would correct too much there and too little here.
    quiet, loud, none = table(1, noise=0.2), table(2, noise=1.0), table(3, noise=0.1, rho=0.0)
    data = pd.concat([none.assign(severity=0.0), quiet.assign(severity=0.5), loud], ignore_index=True)
    result = found(data)
    assert [(part.dataset, part.severity) for part in result.strata] == [("d", 0.0), ("d", 0.5), ("d", 1.0)]
    for part in result.strata:
        raw, of_score, of_outcome = by_hand(data[data["severity"] == part.severity])
        assert part.raw == pytest.approx(raw)
        assert [h.reliability for h in part.halves] == pytest.approx([of_score, of_outcome])
        assert part.estimate == pytest.approx(raw / math.sqrt(of_score * of_outcome))
    reliabilities = [part.halves[0].reliability for part in result.strata[1:]]
    assert reliabilities[0] > reliabilities[1] + 0.15
    # The stratum without a shift is shown and does not count.
    assert result.estimate == pytest.approx(np.mean([part.estimate for part in result.strata[1:]]))
    assert result.raw == pytest.approx(np.mean([part.raw for part in result.strata[1:]]))
    assert (result.n, result.n_clusters) == (48, 12)


def test_without_a_shift_there_is_no_overall_value():
    result = found(table().assign(severity=0.0))
    assert (result.estimate, result.reason) == (None, "no stratum has a shift (severity above 0)")
    assert result.strata[0].estimate is not None


def test_noise_is_taken_out():
    def rank(r):  # Spearman's rho of normal scores with correlation r (Pearson 1907)
        return 6 / math.pi * math.asin(r / 2)

    # A half holds twice the noise of the whole, .25 of variance 1: halves correlate by 2/3, wholes by .8 of .6.
    halves = rank(2 / 3)
    whole = 2 * halves / (1 + halves)
    result = found(table(seeds=3000, methods=("rrr",)))
    assert [h.reliability for h in result.halves] == pytest.approx([whole, whole], abs=0.015)
    assert result.raw == pytest.approx(rank(0.48), abs=0.03)
    assert result.estimate == pytest.approx(rank(0.48) / whole, abs=0.04)
    assert result.estimate == pytest.approx(rank(0.6), abs=0.05)
    assert result.ci_low < result.estimate < result.ci_high


def test_absent_halves_are_named():
    result = found(table().drop(columns=[f"{Y}.half_1", f"{Y}.half_2"]))
    assert result.reason == "no trial has the columns 'test_ood.auc.half_1', 'test_ood.auc.half_2'"


def test_halves_that_do_not_agree_give_no_quotient():
    data = table()
    data[f"{X}.half_1"] = -data[f"{X}.half_2"]
    result = found(data)
    assert (result.estimate, result.halves[0].reliability) == (None, None)
    assert result.reason == f"the halves of '{X}' do not agree (correlation -1.00)"
    assert result.raw is not None


def test_constant_halves_have_no_correlation():
    result = found(table().assign(**{f"{Y}.half_1": 1.0}))
    assert result.reason == f"the halves of '{Y}' have no correlation in any cell"


def test_few_data_seeds_have_no_interval():
    result = found(table(seeds=5))
    assert result.estimate is not None
    assert "fewer than 6 data seeds" in result.interval_reason


def test_missing_halves_are_dropped_and_counted():
    data = table()
    data.loc[0, f"{X}.half_1"] = np.nan
    assert (found(data).n, found(data).n_missing) == (23, 1)
    assert found(data.assign(**{f"{X}.half_2": "bad"})).reason == "no trial has both scores and their halves"


def test_a_half_is_no_localisation_score():
    assert columns.parse_localisation(columns.half("test_ood.auc", 1)) is None
    assert columns.parse_localisation(columns.half(X, 2)) is None
    assert columns.parse_localisation(X) == ("test_ood", "iou", "integrated_gradients")
