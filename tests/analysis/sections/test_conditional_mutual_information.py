"""Normalised conditional mutual information, against counts by hand, loops, and mbe-eval."""

import itertools
import math
from collections import Counter, defaultdict

import mbe_eval.comparators
import numpy as np
import pandas as pd
import pytest

from analysis.sections import conditional_mutual_information as module
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


def by_loops(table, axes, given):
    """(I, H) from Counters over ordered pairs of configurations of one dataset."""
    means = table.groupby(["dataset", *axes])[[SCORE, OUTCOME]].mean().round(12).reset_index()
    cells = defaultdict(Counter)
    for (_, a), (_, b) in itertools.permutations(list(means.iterrows()), 2):
        if a["dataset"] == b["dataset"]:
            key = tuple(a[list(given)]), tuple(b[list(given)])
            cells[key][a[SCORE] > b[SCORE], a[OUTCOME] > b[OUTCOME]] += 1
    total = sum(sum(c.values()) for c in cells.values())
    information = entropy = 0.0
    for counts in cells.values():
        n = sum(counts.values())
        for mu, g in itertools.product((True, False), repeat=2):
            both = counts[mu, g] / n
            p_mu, p_g = (counts[mu, True] + counts[mu, False]) / n, (counts[True, g] + counts[False, g]) / n
            if both:
                information += n / total * both * math.log(both / (p_mu * p_g))
        for g in (True, False):
            p_g = (counts[True, g] + counts[False, g]) / n
            entropy -= n / total * p_g * math.log(p_g) if p_g else 0.0
    return information, entropy


@pytest.mark.slow
@pytest.mark.parametrize(("datasets", "digits"), [(("d",), 1), (("d", "e"), 1), (("d",), 0)])
def test_against_loops_over_pairs(datasets, digits):
    table = factorial(datasets=datasets, seeds=1 if digits == 0 else 2, digits=digits)  # 0: many ties
    found = conditional_mutual_information(table, SCORE, OUTCOME)
    axes = ("severity", "method", "hp.lr")
    assert [c.axes for c in found.conditionings] == [s for k in (0, 1, 2) for s in itertools.combinations(axes, k)]
    ratios = []
    for part in found.conditionings:
        information, entropy = by_loops(table, axes, part.axes)
        assert (part.information, part.entropy) == pytest.approx((information, entropy), abs=1e-12)
        if part.ratio is not None:
            ratios.append(information / entropy)
    assert found.estimate == pytest.approx(min(ratios))
    assert found.n_pairs == len(datasets) * 12 * 11


def test_against_mbe_eval():
    table = factorial(4)
    table["configuration"] = table.groupby(["severity", "method", "hp.lr"]).ngroup()
    score, detail = mbe_eval.comparators.jiang_normalized_cmi(
        table, SCORE, OUTCOME, ["severity", "method", "hp.lr"], group_col="configuration"
    )
    found = conditional_mutual_information(table, SCORE, OUTCOME)
    assert found.estimate == pytest.approx(score)
    assert [c.information for c in found.conditionings] == pytest.approx(list(detail["conditional_mutual_information"]))


def test_two_configurations_by_hand():
    # Two ordered pairs, one of each order: V_g is a fair coin, which V_mu equals. I = H = ln 2.
    table = factorial(noise=0)[lambda t: (t["method"] == "rrr") & (t["hp.lr"] == 1)]
    found = conditional_mutual_information(table, SCORE, OUTCOME)
    alone, given = found.conditionings
    assert (alone.information, alone.entropy, alone.ratio) == (
        pytest.approx(math.log(2)),
        pytest.approx(math.log(2)),
        1.0,
    )
    # Given the severities of both, the order is certain: H = 0, and the set takes no part.
    assert (given.entropy, given.ratio, given.n_cells) == (0.0, None, 2)
    assert found.estimate == 1.0


def test_a_tie_is_not_greater():
    table = factorial(noise=0)[lambda t: (t["method"] == "rrr") & (t["hp.lr"] == 1)].assign(**{SCORE: 0.5})
    assert conditional_mutual_information(table, SCORE, OUTCOME).estimate == 0.0


def test_a_score_that_only_follows_an_axis_is_worth_nothing_given_it():
    generator = np.random.default_rng(0)
    table = pd.concat([factorial(noise=0, seeds=1).assign(**{"hp.width": k}) for k in range(10)], ignore_index=True)
    # Both follow the severity, and are noise below it.
    for column in (SCORE, OUTCOME):
        table[column] = 1000 * table["severity"] + generator.permutation(len(table))
    found = {c.axes: c.ratio for c in conditional_mutual_information(table, SCORE, OUTCOME).conditionings}
    assert found[()] > 0.15
    assert found[("severity",)] < 0.02


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.drop(columns=OUTCOME), f"no trial has the column '{OUTCOME}'"),
        (lambda t: t.iloc[:1], "no two configurations of one dataset"),
        (lambda t: t.assign(**{OUTCOME: 1.0}), "the outcome is the same in all configurations"),
    ],
)
def test_what_is_undefined_says_why(change, reason):
    found = conditional_mutual_information(change(factorial()), SCORE, OUTCOME)
    assert (found.estimate, found.reason) == (None, reason)


def test_too_many_configurations_are_named(monkeypatch):
    monkeypatch.setattr(module, "MOST_CONFIGURATIONS", 11)
    found = conditional_mutual_information(factorial(), SCORE, OUTCOME)
    assert (found.estimate, found.reason) == (None, "12 configurations, more than 11")
