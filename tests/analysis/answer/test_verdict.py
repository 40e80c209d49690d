"""The words of the answer, from the interval, the smallest effect of interest and the spread over cells."""

import pytest

from analysis.answer.combine import Comparison, Level
from analysis.answer.verdict import answered, verdict, word
from analysis.trials.trials import Primary
from records.columns import COMPARISONS


def made(comparison="setting", low=0.4, high=0.6, **others):
    fields = {"comparison": comparison, "estimate": (low + high) / 2, "ci_low": low, "ci_high": high}
    fields |= {"joint_low": low, "joint_high": high, "standard_error": 0.1, "df": 9.0}
    fields |= {"n_trials": 1200, "n_units": 120, "n_cells": 12, "n_clusters": 10}
    return Comparison(**fields | others)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.31, 0.9, "yes"),
        (0.29, 0.9, "undecided"),
        (-0.29, 0.29, "no"),
        (0.05, 0.29, "no"),
        (-0.31, 0.1, "undecided"),
        (-0.9, 0.2, "undecided"),  # an upper bound below the smallest effect is not enough
        (-0.31, 0.31, "undecided"),
        (-0.9, -0.31, "reverse"),
    ],
)
@pytest.mark.parametrize("comparison", COMPARISONS)
def test_the_word_follows_from_both_bounds(comparison, low, high, expected):
    result = answered(made(comparison, low, high), Primary(), 0.3)
    assert result.answer == expected
    assert result.sentence.startswith(f"{expected.capitalize()}: ")


def test_the_smallest_effect_of_interest_moves_the_words():
    assert word(made(low=0.15, high=0.25), 0.1) == "yes"
    assert word(made(low=0.15, high=0.25), 0.3) == "no"


@pytest.mark.parametrize(
    ("mean", "cells", "p_value", "expected"),
    [
        (0.5, (-0.2, 0.9), 0.01, "it depends"),
        (0.5, (-0.9, 0.2), 0.01, "it depends"),
        (0.5, (-0.2, 0.9), 0.2, "yes"),  # no more than chance
        (0.5, (0.1, 0.9), 0.01, "yes"),  # one sign
        (0.0, (-0.25, 0.25), 0.01, "no"),  # small differences
    ],
)
def test_cells_of_both_signs_make_it_depend(mean, cells, p_value, expected):
    spread = {"cells_low": cells[0], "cells_high": cells[1], "cells_p_value": p_value}
    assert word(made(low=mean - 0.1, high=mean + 0.1, **spread), 0.3) == expected


def level(estimate, severity, dataset="crosses"):
    return Level(dataset, severity, None, estimate, None, None, n_trials=600, n_cells=6)


def test_the_prediction_for_a_new_method_counts_too():
    spread = {"prediction_low": -0.1, "prediction_high": 0.9, "cells_p_value": 0.001}
    result = made(low=0.4, high=0.6, strata=(level(-0.5, 0.0), level(0.45, 0.5), level(0.55, 1.0)), **spread)
    assert word(result, 0.3) == "it depends"
    assert answered(result, Primary(), 0.3).sentence == (
        "It depends: whether settings with better maps generalize better differs between methods and strata (rank "
        "correlation 0.50, 95 % interval 0.40 to 0.60; prediction interval for a new method −0.10 to 0.90; by "
        "dataset and severity it is 0.45 to 0.55; from 120 settings with 1,200 trials in 12 cells)."
    )
    one_stratum = answered(made(low=0.4, high=0.6, strata=(level(0.5, 1.0),), **spread), Primary(), 0.3)
    assert "by dataset and severity" not in one_stratum.sentence


@pytest.mark.parametrize(("comparison", "new"), [("setting", "a method on a new"), ("method", "a new")])
def test_where_methods_agree_and_cells_do_not_the_cells_are_named(comparison, new):
    spread = {"prediction_low": 0.2, "prediction_high": 0.8, "cells_low": -0.4, "cells_high": 0.9}
    result = made(comparison, low=0.4, high=0.6, **spread, cells_p_value=0.001)
    expected = f"; prediction interval for {new} dataset or severity −0.40 to 0.90;"
    assert expected in answered(result, Primary(), 0.3).sentence


def test_a_yes_gives_its_size_and_basis():
    assert answered(made(auc_per_tenth=0.12), Primary(), 0.3).sentence == (
        "Yes: within a method, settings with better maps tend to generalize better (rank correlation 0.50, 95 % "
        "interval 0.40 to 0.60; 0.1 of IoU goes with 0.12 of OOD test AUC; from 120 settings with 1,200 trials in 12 "
        "cells)."
    )


def test_undecided_says_how_many_data_seeds_would_decide():
    # z from atanh(.3) to atanh(.5) is .24; the interval spans .1 to 1.02, so (.46 / .24)² = 3.7 times as many.
    undecided = made(low=0.1, high=0.77, estimate=0.5)
    assert answered(undecided, Primary(), 0.3).sentence == (
        "Undecided: these trials do not show whether settings with better maps generalize better (rank correlation "
        "0.50, 95 % interval 0.10 to 0.77; the interval holds 0.3; some 37 data seeds in place of 10 would decide, if "
        "it stays; from 120 settings with 1,200 trials in 12 cells)."
    )


def test_undecided_at_the_joint_level_alone_is_stated():
    joint = answered(made(low=0.35, high=0.65, joint_low=0.25, joint_high=0.7), Primary(), 0.3)
    assert "; held jointly with the other comparisons, 0.25 to 0.70, it holds 0.3; " in joint.sentence


def test_undecided_at_the_limit_or_without_any_precision_names_no_number():
    for close in (made(low=0.1, high=0.5, estimate=0.31), made(low=-1.0, high=1.0, estimate=0.5)):
        assert "it would take over 20 times as many data seeds to decide" in answered(close, Primary(), 0.3).sentence


def test_a_requirement_that_is_not_met_is_named():
    result = Comparison(comparison="seed", estimate=0.4, reason="a dataset has 3 data seeds, fewer than 6")
    sentence = answered(result, Primary(), 0.3).sentence
    assert sentence.endswith("(rank correlation 0.40 without an interval: a dataset has 3 data seeds, fewer than 6).")


def both(*pairs):
    results = [answered(made(name, *bounds), Primary(), 0.3) for name, bounds in zip(COMPARISONS, pairs, strict=True)]
    return verdict(results, Primary(), 0.3)


def test_the_verdict_sums_the_words_up():
    yes, no, wide = (0.4, 0.6), (-0.1, 0.1), (0.1, 0.5)
    assert both(yes, yes, yes, yes).answer == "yes"
    assert both(no, no, no, no).sentence.startswith("No, by each comparison: ")
    assert both(yes, no, yes, yes).answer == "it depends"
    in_part = both(wide, yes, yes, yes)
    assert in_part.answer == "undecided"
    assert in_part.sentence == (
        "Undecided in part. Seeds: undecided, 0.30 (0.10 to 0.50). Settings: yes, 0.50 (0.40 to 0.60). "
        "Methods: yes, 0.50 (0.40 to 0.60). Given validation AUC: yes, 0.50 (0.40 to 0.60)."
    )


def test_one_reason_for_all_is_given_once():
    absent = [Comparison(comparison=name, reason="no trial has a shift") for name in COMPARISONS]
    results = [answered(result, Primary(), 0.3) for result in absent]
    assert verdict(results, Primary(), 0.3).sentence == "Undecided: no trial has a shift."


def test_a_metric_of_the_distractor_explains_what_a_better_map_is():
    primary = Primary(metric="1-distractor_mass")
    results = [answered(made(name), primary, 0.3) for name in COMPARISONS]
    assert verdict(results, primary, 0.3).sentence.endswith("A better map is one that avoids the distractor better.")
