"""Psi, against factorials worked by hand, loops over scipy's tau-b, and mbe-eval."""

import itertools
from dataclasses import replace

import mbe_eval.comparators
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.sections import granulated_kendall as module
from analysis.sections.granulated_kendall import granulated_kendall
from analysis.stats.cluster_bootstrap import draw_resamples

SCORE, OUTCOME = "test_ood.iou.integrated_gradients", "test_ood.auc"


def factorial(score, outcome, *, lrs=(1, 2, 3), severities=(0.0, 0.5, 1.0), seeds=12, noise=0.0, rng=0):
    """A full factorial whose scores are functions of (lr, severity), with noise per trial."""
    generator = np.random.default_rng(rng)
    table = pd.DataFrame(
        [
            {"dataset": "d", "severity": s, "method": "rrr", "hp.lr": lr, "seed": k, "data_seed": k}
            | {SCORE: score(lr, s) + noise * generator.normal(), OUTCOME: outcome(lr, s) + noise * generator.normal()}
            for lr, s, k in itertools.product(lrs, severities, range(seeds))
        ]
    )
    return table.sample(frac=1, random_state=rng, ignore_index=True)


def psi(table, replicates=50):
    return granulated_kendall(table, SCORE, OUTCOME, draw_resamples(table, replicates=replicates, seed=0))


def axis(found, name):
    return next(a for a in found.axes if a.axis == name)


def test_scores_that_agree_everywhere_have_psi_one():
    found = psi(factorial(lambda lr, s: lr + s, lambda lr, s: 2 * lr + s))
    assert (found.estimate, found.ci_low, found.ci_high, found.n_configurations) == (1.0, 1.0, 1.0, 9)
    assert [(a.axis, a.estimate, a.n_eligible, a.n_finite) for a in found.axes] == [
        ("severity", 1.0, 3, 3),
        ("hp.lr", 1.0, 3, 3),
    ]


def test_axes_with_opposite_signs_average_to_zero_though_the_pooled_tau_does_not():
    # Along lr they agree, along severity they disagree; severity moves both scores far more.
    table = factorial(lambda lr, s: lr + 100 * s, lambda lr, s: lr - 100 * s)
    found = psi(table)
    assert (axis(found, "hp.lr").estimate, axis(found, "severity").estimate) == (1.0, -1.0)
    assert found.estimate == 0.0
    assert stats.kendalltau(table[SCORE], table[OUTCOME]).statistic == pytest.approx(-0.5)


def test_ties_and_dropped_settings_by_hand():
    # Along lr at s = 0 the score is constant: dropped. At s = 1 it is 1, 1, 2 against 1, 2, 3: of three pairs one is
    # tied in the score and two are concordant, tau-b = 2 / sqrt(2 * 3).
    table = factorial(lambda lr, s: s * max(1, lr - 1), lambda lr, s: lr, severities=(0.0, 1.0))
    found = axis(psi(table), "hp.lr")
    assert (found.n_eligible, found.n_finite) == (2, 1)
    assert found.estimate == pytest.approx(2 / 6**0.5)


def by_loops(table, others):
    """psi of each axis by loops: `others` maps an axis to the columns held fixed."""
    result = {}
    for name, fixed in others.items():
        taus = []
        for _, cell in table.groupby(fixed, dropna=False):
            means = cell.groupby(name)[[SCORE, OUTCOME]].mean().round(12)
            if len(means) > 1:
                taus.append(stats.kendalltau(means[SCORE], means[OUTCOME]).statistic)
        finite = [t for t in taus if np.isfinite(t)]
        result[name] = (float(np.mean(finite)), len(taus), len(finite))
    return result


def nested(make_table):
    """Methods with strengths of their own, uneven seeds, missing scores and rounded, so tied, values."""
    table = make_table(rho=0.4, seeds=12, strengths=(0.1, 1.0, 10.0), datasets=("crosses", "digits"))
    table.loc[table["method"] == "baseline", "strength"] = 0.0
    table[[SCORE, OUTCOME]] = table[[SCORE, OUTCOME]].round(2)
    generator = np.random.default_rng(3)
    table.loc[generator.random(len(table)) < 0.1, SCORE] = np.nan
    return table[generator.random(len(table)) < 0.8].reset_index(drop=True)


def test_against_loops_on_an_unbalanced_table(make_table):
    table = nested(make_table)
    found = psi(table)
    known = table.dropna(subset=[SCORE])
    expected = by_loops(
        known,
        {
            "severity": ["dataset", "method", "strength"],
            "method": ["dataset", "severity"],
            "strength": ["dataset", "severity", "method"],
        },
    )
    assert {a.axis: (pytest.approx(a.estimate), a.n_eligible, a.n_finite) for a in found.axes} == expected
    assert found.estimate == pytest.approx(np.mean([e[0] for e in expected.values()]))
    assert found.n == len(known)


def test_against_mbe_eval_on_a_factorial():
    table = factorial(lambda lr, s: lr + 3 * s, lambda lr, s: lr * s, noise=1.0, seeds=3)
    table["configuration"] = table.groupby(["severity", "hp.lr"]).ngroup()
    total, detail = mbe_eval.comparators.granulated_kendall(
        table, SCORE, OUTCOME, ["severity", "hp.lr"], group_col="configuration"
    )
    found = psi(table)
    assert found.estimate == pytest.approx(total)
    assert [a.estimate for a in found.axes] == pytest.approx(list(detail["granulated_kendall"]))


def test_a_replicate_is_the_table_of_its_data_seeds(make_table):
    table = nested(make_table)
    resamples = draw_resamples(table, replicates=6, seed=2)
    expected = []
    for draw in resamples.counts:
        repeated = table.loc[np.repeat(np.arange(len(table)), draw[resamples.cluster].astype(int))]
        one = replace(resamples, counts=np.ones((1, resamples.counts.shape[1])))
        rows = repeated.index.to_numpy()
        one = replace(one, cluster=resamples.cluster[rows], data_seed=resamples.data_seed[rows])
        expected.append(granulated_kendall(repeated.reset_index(drop=True), SCORE, OUTCOME, one).estimate)
    found = granulated_kendall(table, SCORE, OUTCOME, resamples)
    assert found.ci_low == pytest.approx(np.quantile(expected, 0.025))
    assert found.ci_high == pytest.approx(np.quantile(expected, 0.975))


def test_large_cells_by_sorting_give_the_same(make_table, monkeypatch):
    table = nested(make_table)
    wanted = psi(table)
    monkeypatch.setattr(module, "_BLOCK", 1)
    assert [a.estimate for a in psi(table, replicates=1).axes] == pytest.approx([a.estimate for a in wanted.axes])


def test_too_many_pairs_have_an_estimate_and_say_why_no_interval(make_table, monkeypatch):
    monkeypatch.setattr(module, "MOST_SIGNS", 10)
    found = psi(nested(make_table))
    assert found.estimate is not None
    assert "too many to resample" in found.interval_reason


def test_few_data_seeds_have_no_interval():
    found = psi(factorial(lambda lr, s: lr + s, lambda lr, s: lr + s, seeds=5))
    assert (found.estimate, found.ci_low) == (1.0, None)
    assert found.interval_reason == "fewer than 10 data seeds on a dataset"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.drop(columns=SCORE), f"no trial has the column '{SCORE}'"),
        (lambda t: t[(t["severity"] == 0) & (t["hp.lr"] == 1)], "no setting varies but the seeds"),
        (lambda t: t.assign(**{OUTCOME: 1.0}), "a score is constant along it in each of 3 settings"),
        (lambda t: t.assign(**{SCORE: np.nan}), "no setting varies but the seeds"),
    ],
)
def test_what_is_undefined_says_why(change, reason):
    table = change(factorial(lambda lr, s: lr + s, lambda lr, s: lr + s, seeds=2)).reset_index(drop=True)
    found = psi(table)
    assert found.estimate is None
    assert reason in found.reason


def test_seeds_alone_make_it_positive():
    """Settings do nothing; map and performance of a trial share its luck."""
    generator = np.random.default_rng(0)
    table = factorial(lambda lr, s: 0, lambda lr, s: 0)
    luck = generator.normal(size=len(table))
    for column in (SCORE, OUTCOME):
        table[column] = luck + 0.3 * generator.normal(size=len(table))
    assert psi(table).estimate > 0.3
