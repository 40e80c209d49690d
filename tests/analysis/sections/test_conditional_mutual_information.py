"""Normalised conditional mutual information, against scipy, mbe-eval and values by hand."""

import itertools
import math

import mbe_eval.comparators
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.sections.conditional_mutual_information import conditional_mutual_information

SCORE, OUTCOME = "test_ood.iou.integrated_gradients", "test_ood.auc"


def factorial(rng=0, *, datasets=("d",), noise=1.0, seeds=2, digits=1):
    generator = np.random.default_rng(rng)
    found = []
    for dataset, lr, s, method in itertools.product(datasets, (1, 2, 3), (0.0, 1.0), ("masked", "rrr")):
        for seed in range(seeds):
            shared = lr + s
            found.append(
                {"dataset": dataset, "severity": s, "method": method, "hp.lr": lr, "seed": seed, "data_seed": seed}
                | {
                    SCORE: round(shared + noise * generator.normal(), digits),
                    OUTCOME: round(shared + noise * generator.normal(), digits),
                }
            )
    return pd.DataFrame(found)


def by_scipy(table, given=()):
    """(I, H) by scipy's entropies over ordered pairs of configurations of one dataset, given both's values."""
    axes = [c for c in ("dataset", "severity", "method", "hp.lr", "hp.width") if c in table]
    means = table.groupby(axes)[[SCORE, OUTCOME]].mean().round(12).reset_index()
    value = means.groupby([*given, lambda i: 0]).ngroup().to_numpy()
    mu, g, dataset = (means[c].to_numpy() for c in (SCORE, OUTCOME, "dataset"))
    one, two = np.nonzero((dataset[:, None] == dataset) & ~np.eye(len(means), dtype=bool))
    information = entropy = 0.0
    groups = value[one] * len(means) + value[two]
    for group in np.unique(groups):
        mine = groups == group
        counts = np.bincount(2 * (mu[one] > mu[two])[mine] + (g[one] > g[two])[mine], minlength=4).reshape(2, 2)
        of_g = stats.entropy(counts.sum(axis=0))
        share = mine.mean()
        information += share * (of_g + stats.entropy(counts.sum(axis=1)) - stats.entropy(counts.ravel()))
        entropy += share * of_g
    return information, entropy


@pytest.mark.slow
@pytest.mark.parametrize(("datasets", "digits"), [(("d",), 1), (("d", "e"), 1), (("d",), 0)])
def test_against_entropies_over_pairs(datasets, digits):
    table = factorial(datasets=datasets, seeds=1 if digits == 0 else 2, digits=digits)  # 0: many ties
    found = conditional_mutual_information(table, SCORE, OUTCOME)
    axes = ("severity", "method", "hp.lr")
    assert [c.axes for c in found.conditionings] == [s for k in (0, 1, 2) for s in itertools.combinations(axes, k)]
    ratios = []
    for part in found.conditionings:
        information, entropy = by_scipy(table, part.axes)
        assert (part.information, part.entropy) == pytest.approx((information, entropy), abs=1e-12)
        if part.ratio is not None:
            ratios.append(information / entropy)
    assert found.raw == pytest.approx(min(ratios))
    assert found.n_pairs == len(datasets) * 12 * 11


def test_against_mbe_eval():
    table = factorial(4)
    table["configuration"] = table.groupby(["severity", "method", "hp.lr"]).ngroup()
    score, detail = mbe_eval.comparators.jiang_normalized_cmi(
        table, SCORE, OUTCOME, ["severity", "method", "hp.lr"], group_col="configuration"
    )
    found = conditional_mutual_information(table, SCORE, OUTCOME)
    assert found.raw == pytest.approx(score)
    assert [c.information for c in found.conditionings] == pytest.approx(list(detail["conditional_mutual_information"]))


def test_an_order_that_the_score_gives_exactly():
    # V_mu equals V_g: I = H = ln 2 over all pairs. Given the severities of both, pairs of unlike ones are certain.
    table = factorial(noise=0)
    table[OUTCOME] = 10 * table["severity"] + table["hp.lr"] + 0.1 * (table["method"] == "rrr")
    found = conditional_mutual_information(table.assign(**{SCORE: table[OUTCOME]}), SCORE, OUTCOME)
    alone = found.conditionings[0]
    assert (alone.information, alone.entropy) == (pytest.approx(math.log(2)), pytest.approx(math.log(2)))
    assert (alone.ratio, alone.association) == (1.0, pytest.approx(1))
    assert alone.p_value == pytest.approx(1 / 100)
    certain = next(c for c in found.conditionings if c.axes == ("severity", "hp.lr"))
    assert certain.reason is not None


def test_the_sign_is_that_of_the_association():
    table = factorial(noise=0.3, seeds=1, digits=6)
    forward = conditional_mutual_information(table, SCORE, OUTCOME)
    backward = conditional_mutual_information(table.assign(**{SCORE: -table[SCORE]}), SCORE, OUTCOME)
    assert forward.raw == pytest.approx(backward.raw)
    for one, other in zip(forward.conditionings, backward.conditionings, strict=True):
        if one.association is not None:
            assert one.association == pytest.approx(-other.association)
    # Over all pairs without ties, the correlation of the two orders is Kendall's tau.
    tau = stats.kendalltau(table[SCORE], table[OUTCOME]).statistic
    assert forward.conditionings[0].association == pytest.approx(tau)


def wide(rng=0, *, widths=10):
    """120 configurations; both scores follow the severity and are noise below it."""
    generator = np.random.default_rng(rng)
    table = pd.concat([factorial(noise=0, seeds=1).assign(**{"hp.width": k}) for k in range(widths)], ignore_index=True)
    for column in (SCORE, OUTCOME):
        table[column] = 1000 * table["severity"] + generator.permutation(len(table))
    return table


def ratio_given_severity(table):
    information, entropy = by_scipy(table, ["severity"])
    return information / entropy


def test_chance_is_the_mean_of_permutations_within_the_conditioning():
    table = wide(widths=3)
    parts = conditional_mutual_information(table, SCORE, OUTCOME, permutations=400).conditionings
    (part,) = (c for c in parts if c.axes == ("severity",))
    assert part.ratio == pytest.approx(ratio_given_severity(table))
    generator = np.random.default_rng(5)
    shuffled = [
        ratio_given_severity(table.assign(**{SCORE: table.groupby("severity")[SCORE].transform(generator.permutation)}))
        for _ in range(80)
    ]
    assert part.chance == pytest.approx(np.mean(shuffled), abs=4 * np.std(shuffled) * math.sqrt(1 / 400 + 1 / 80))
    assert part.excess == pytest.approx(part.ratio - part.chance)
    assert part.p_value == pytest.approx(np.mean(np.array(shuffled) >= part.ratio - 1e-12), abs=0.2)


def test_a_score_that_only_follows_an_axis_is_worth_nothing_given_it():
    found = conditional_mutual_information(wide(), SCORE, OUTCOME)
    by_axes = {c.axes: c for c in found.conditionings}
    assert by_axes[()].excess > 0.15
    assert by_axes[()].p_value == pytest.approx(0.01)
    assert abs(by_axes[("severity",)].excess) < 0.01
    assert found.estimate < 0.01
    assert found.p_value > 0.05


def test_noise_has_information_by_chance_alone():
    table = wide()
    generator = np.random.default_rng(3)
    table[SCORE], table[OUTCOME] = generator.normal(size=(2, len(table)))
    found = conditional_mutual_information(table, SCORE, OUTCOME)
    two_axes = next(c for c in found.conditionings if c.axes == ("method", "hp.width"))
    assert two_axes.ratio > 0.02
    assert abs(two_axes.excess) < 0.02
    assert found.p_value > 0.05
    assert abs(found.estimate) < 0.02


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.drop(columns=OUTCOME), f"no trial has the column '{OUTCOME}'"),
        (lambda t: t.iloc[:1], "0 pairs of configurations, fewer than 90"),
        (lambda t: t[t["hp.lr"] < 3], "56 pairs of configurations, fewer than 90"),
        (lambda t: t.assign(**{OUTCOME: 1.0}), "the outcome is the same in all configurations"),
    ],
)
def test_what_is_undefined_says_why(change, reason):
    found = conditional_mutual_information(change(factorial()), SCORE, OUTCOME)
    assert (found.estimate, found.reason) == (None, reason)
