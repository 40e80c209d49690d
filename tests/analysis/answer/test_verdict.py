"""The words of the answer, from the interval, and the smallest effect of interest, and how general it is."""

import pytest

from analysis.answer.combine import Comparison, Level, Signs
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


def level(estimate, severity, low, high, method=None):
    place = (None, None, method) if method else ("crosses", severity, None)
    return Level(*place, estimate, low, high, n_trials=600, n_cells=6)


def said(**general):
    return answered(made(**general), Primary(), 0.3)


def test_signs_that_differ_do_not_change_the_word_and_name_the_ends():
    ends = level(-0.4, None, -0.6, -0.1, "rrr"), level(0.8, None, 0.7, 0.9, "gain")
    result = said(signs=(Signs("methods", 7, 0.001, *ends),), generality="signs differ", differ_among="methods")
    assert result.answer == "yes"
    expected = "the sign differs among methods: −0.40 (−0.60 to −0.10) for RRR but 0.80 (0.70 to 0.90) for GAIN; "
    assert expected in result.sentence


@pytest.mark.parametrize(
    ("comparison", "groups"), [("setting", "for each method and in each stratum"), ("method", "in each stratum")]
)
def test_one_sign_everywhere_is_said_of_what_was_shown(comparison, groups):
    assert (
        f"; the same sign {groups}, by each one’s interval; "
        in said(comparison=comparison, generality="same sign").sentence
    )


def test_a_yes_gives_its_size_and_basis():
    assert answered(made(auc_per_tenth=0.12), Primary(), 0.3).sentence == (
        "Yes: within a method, settings with better maps tend to generalize better (rank correlation 0.50, 95 % "
        "interval 0.40 to 0.60; too few trials to say whether the sign is the same everywhere; 0.1 of IoU goes with "
        "0.12 of OOD test AUC; from 120 settings with 1,200 trials in 12 cells)."
    )


def test_undecided_says_which_limit_the_interval_holds():
    sentence = answered(made(low=0.1, high=0.77, estimate=0.5), Primary(), 0.3).sentence
    assert "95 % interval 0.10 to 0.77; the interval holds 0.3; too few trials to say" in sentence
    assert "would decide" not in sentence


def test_undecided_at_the_joint_level_alone_is_stated():
    joint = answered(made(low=0.35, high=0.65, joint_low=0.25, joint_high=0.7), Primary(), 0.3)
    assert "; held jointly with the other comparisons, 0.25 to 0.70, it holds 0.3; " in joint.sentence


def test_a_requirement_that_is_not_met_is_named_and_no_estimate():
    result = Comparison(comparison="seed", estimate=0.4, reason="a dataset has 3 data seeds, fewer than 6")
    sentence = answered(result, Primary(), 0.3).sentence
    assert sentence.endswith("generalizes better (a dataset has 3 data seeds, fewer than 6).")
    assert "0.40" not in sentence


def test_matched_pairs_stand_beside_the_correlation_given_validation():
    result = said(comparison="given_id", matched_pairs=0.514, n_matched_pairs=1200)
    assert (
        "in 51\u00a0% of 1,200 pairs that differ by at most 0.01 in it, the one with the better map is better"
        in result.sentence
    )


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
        "Undecided in part. Of two runs of one recipe, is the one with the better map better? Undecided: 0.30 (0.10 to "
        "0.50). Can I tune a method by looking at maps? Yes: 0.50 (0.40 to 0.60). Is a method with better maps a "
        "better method? Yes: 0.50 (0.40 to 0.60). Does the map say anything that plain validation does not? Yes: 0.50 "
        "(0.40 to 0.60)."
    )


def test_one_reason_for_all_is_given_once():
    absent = [Comparison(comparison=name, reason="no trial has a shift") for name in COMPARISONS]
    results = [answered(result, Primary(), 0.3) for result in absent]
    assert verdict(results, Primary(), 0.3).sentence == "Undecided: no trial has a shift."


def test_a_metric_of_the_distractor_explains_what_a_better_map_is():
    primary = Primary(metric="1-distractor_mass")
    results = [answered(made(name), primary, 0.3) for name in COMPARISONS]
    assert verdict(results, primary, 0.3).sentence.endswith("A better map is one that avoids the distractor better.")
