"""The whole answer on tables made to mislead: each statement must be true of the table."""

import numpy as np
import pandas as pd
import pytest
from support.layered_trials import METHODS, OUTCOME, SCORE, STRENGTHS, Layer, layered

from analysis.answer.answer import answer, comparisons_of
from analysis.answer.combine import MINIMUM_DATASETS
from analysis.numbers import with_interval
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.trials.exclusions import trials_from_table
from analysis.trials.trials import Primary
from benchmarks.calibration.measure import measure
from benchmarks.calibration.scenarios import SCENARIOS
from records import Manifest
from records.columns import COMPARISONS

CLOSE, WIDE = Layer(0.95, 0.05, 0.05), Layer(0.0, 0.05, 0.05)


def summary(table):
    """(the verdict's word, and each comparison's word and correlation, or the reason why it has none)."""
    result = answer(table, replicates=100)
    words = {
        c.comparison: c.reason if c.reason is not None else f"{c.answer}, {with_interval(c)}"
        for c in result.comparisons
    }
    return result.verdict.answer, words


def compared(table, *names):
    """The comparisons by name, without the rest of the analysis."""
    declared = Manifest(primary=Primary(), comparisons=names or COMPARISONS)
    trials = trials_from_table(table, sweep="table", source="a table", declared=declared)
    resamples = draw_resamples(trials.table, replicates=1, seed=0)
    return {c.comparison: c for c in comparisons_of(trials, Primary(), resamples, smallest_effect=0.3)}


def joined(*tables):
    return pd.concat(tables, ignore_index=True)


def at_the_ceiling():
    table = layered(seed=CLOSE)
    return table.assign(**{OUTCOME: 1 - 0.001 * np.random.default_rng(0).random(len(table))})


def copied():
    """One trial under several seeds."""
    table = layered(seed=CLOSE)
    scores = (OUTCOME, SCORE, "valid_id.auc")
    return table.assign(**{name: np.repeat(table[name].to_numpy()[::5], 5) for name in scores})


@pytest.mark.parametrize(
    ("table", "reason", "estimated"),
    [
        (
            lambda: layered(seed=CLOSE, severities=(0.0,)),
            "no trial has a shift: every severity is 0, where performance on OOD images is performance on ID images",
            {},
        ),
        (
            lambda: layered(seed=CLOSE, seeds=3),
            "no dataset with a shift has more than 3 data seeds; an interval needs 6",
            {"setting": 0.81, "given_id": 0.94},
        ),
        (
            lambda: layered(seed=CLOSE).drop(columns="data_seed"),
            "the table has no column 'data_seed', so it is not known which trials share their images",
            {"seed": 0.93, "given_id": 0.94},
        ),
        (at_the_ceiling, "OOD test AUC varies by less than 0.01 wherever there is a shift", {}),
        (
            copied,
            "240 trials repeat another seed's scores to the last digit, so seeds are not replicates here; remove the "
            "copies",
            None,
        ),
    ],
)
def test_what_no_comparison_can_answer_has_one_reason(table, reason, estimated):
    """Whatever correlation stands beside it."""
    result = answer(table(), replicates=100)
    assert (result.verdict.answer, result.verdict.sentence) == ("undecided", f"Undecided: {reason}.")
    for c in result.comparisons:
        assert (c.answer, c.reason, c.ci_low) == ("undecided", reason, None)
        assert c.sentence.endswith(f"{reason}).")
        if estimated is not None:
            expected = estimated.get(c.comparison)
            assert c.estimate == (None if expected is None else pytest.approx(expected, abs=0.005))


def test_unknown_data_seeds_are_not_counted():
    table = layered(seed=CLOSE).drop(columns="data_seed")
    assert answer(table, replicates=100).notes == ("No primary comparison was declared, so the default is used.",)


def test_one_method_alone_does_not_answer():
    """Four strengths of one method have few rank correlations, so data seeds agree on one; other methods may differ."""
    table = layered(seed=CLOSE, setting=Layer(0.95, 0.1, 0.1), severities=(0.5, 0.8, 1.0), methods=METHODS[:2])
    both = answer(table, replicates=100)
    assert [c.answer for c in both.comparisons] == ["yes", "yes", "undecided", "yes"]
    only = f"only one method, {METHODS[0]}, contributes"
    one_tuned = table[(table["method"] == METHODS[0]) | (table["strength"] == STRENGTHS[0])]
    for rows, concerned in (
        (one_tuned, {"setting"}),
        (table[table["method"] == METHODS[0]], {"seed", "setting", "given_id"}),
    ):
        for c in answer(rows, replicates=100).comparisons:
            assert (c.reason == only) is (c.comparison in concerned)
            if c.comparison in concerned:
                assert (c.answer, c.ci_low, c.joint_low) == ("undecided", None, None)
                assert c.estimate > 0.5


def test_two_cells():
    result = answer(layered(seed=WIDE, setting=Layer(0.9, 0.1, 0.1), methods=METHODS[:2]), replicates=100)
    few = "2 cells have a value, fewer than 3"
    assert {c.comparison: (c.answer, c.ci_low, c.reason) for c in result.comparisons} == {
        name: ("undecided", None, "fewer than 4 methods in the only stratum" if name == "method" else few)
        for name in COMPARISONS
    }


def test_cells_of_opposite_signs():
    # Methods x severities in a checkerboard: no method and no severity has a sign of its own.
    cells = [
        layered(
            seed=Layer(0.9 * (-1) ** (i + j), 0.05, 0.05), methods=(method,), severities=(severity,), rng=10 * i + j
        )
        for i, method in enumerate(METHODS)
        for j, severity in enumerate((0.25, 0.5, 0.75, 1.0))
    ]
    for c in answer(joined(*cells), replicates=100).comparisons:
        if c.comparison in ("seed", "given_id"):
            assert c.answer in ("no", "undecided")
            assert (c.generality, c.differ_among) == ("signs differ", "cells")


def test_one_dominant_cell():
    # 600 of 850 trials are of one method, where maps say all; on the other five they say nothing.
    others = layered(seed=WIDE, methods=METHODS[1:])
    one = layered(seed=CLOSE, methods=METHODS[:1], strengths=tuple(range(1, 61)))
    for c in answer(joined(others, one), replicates=100).comparisons:
        if c.comparison in ("seed", "given_id"):
            assert c.estimate > 0.7
            assert c.generality == "too few to say", "the others show no sign"


def test_settings_that_do_nothing_while_seeds_correlate():
    # The averages of ten seeds correlate as seeds do; settings have no order of their own.
    assert summary(layered(seed=Layer(0.9, 0.1, 0.1))) == (
        "undecided",
        {
            "seed": "yes, 0.88 (0.82 to 0.92)",
            "setting": "mean outcome of settings varies by less than 0.01 in 4 cells, settings in no stable order "
            "between halves of the data seeds in 2 cells",
            "method": "methods in no stable order between halves of the data seeds in the only stratum",
            "given_id": "yes, 0.89 (0.83 to 0.93)",
        },
    )


def test_settings_and_seeds_of_opposite_signs():
    assert summary(layered(seed=Layer(-0.9), setting=Layer(0.95, 0.05, 0.05), strengths=tuple(range(1, 11)))) == (
        "it depends",
        {
            "seed": "reverse, −0.86 (−0.90 to −0.82)",
            "setting": "yes, 0.93 (0.84 to 0.97)",
            "method": "undecided, 0.79 (−0.61 to 0.99)",
            "given_id": "yes, 0.63 (0.48 to 0.75)",
        },
    )


def test_four_strengths_in_one_order_are_not_an_answer():
    # Four cells with the same rho of 0.80, on which all data seeds agree; another four strengths may have another one.
    table = layered(methods=METHODS[:2], strengths=STRENGTHS[:4], severities=(0.5, 1.0), seed=Layer(0.0, 0.005, 0.005))
    place = np.asarray([STRENGTHS.index(strength) for strength in table["strength"]])
    table[SCORE] += 0.05 * place
    table[OUTCOME] += 0.05 * np.asarray([0, 1, 3, 2])[place]
    assert summary(table)[1]["setting"] == "undecided, 0.80 (−0.30 to 0.99)"


def test_everything_related_gives_four_times_yes():
    table = layered(
        seed=CLOSE,
        setting=Layer(0.98, 0.1, 0.1),
        method=Layer(0.98, 0.3, 0.3),
        methods=tuple(f"method_{i}" for i in range(10)),
        strengths=STRENGTHS[:4],
        datasets=("crosses", "squares"),
        seeds=12,
    )
    result = answer(table, replicates=100)
    assert [c.auc_per_tenth for c in result.comparisons] == [pytest.approx(0.1, abs=0.005)] * 4
    assert summary(table) == (
        "yes",
        {
            "seed": "yes, 0.94 (0.92 to 0.95)",
            "setting": "yes, 0.96 (0.87 to 0.99)",
            "method": "yes, 0.99 (0.94 to 1.00)",
            "given_id": "yes, 0.97 (0.96 to 0.98)",
        },
    )


def test_nothing_related_is_a_no_with_many_seeds():
    _, words = summary(layered(seed=WIDE, seeds=40))
    assert (words["seed"], words["given_id"]) == ("no, −0.02 (−0.09 to 0.06)", "no, −0.01 (−0.09 to 0.08)")


def test_a_low_upper_bound_alone_is_not_a_no():
    # Maps that go with worse performance, on few trials: a correlation below .3 is likely, one near zero is not shown.
    table = layered(seed=Layer(-0.45, 0.05, 0.05), seeds=8, methods=METHODS[:4], strengths=(1.0,), rng=2)
    assert summary(table)[1]["seed"] == "undecided, −0.37 (−0.77 to 0.24)"


def test_two_datasets_of_unequal_size():
    # The large one has the association, the small one has none; the sum of trials is not what decides.
    small = layered(seed=WIDE, seeds=8)
    large = layered(seed=Layer(0.6, 0.05, 0.05), seeds=30, datasets=("squares",), rng=3)
    for c in answer(joined(small, large), replicates=100).comparisons:
        if c.comparison in ("seed", "given_id"):
            assert (c.answer, c.generality) == ("yes", "too few to say"), "on average; the small one shows no sign"


def test_a_dataset_with_too_few_data_seeds_does_not_block_the_others():
    short = layered(seed=Layer(0.6, 0.05, 0.05), seeds=3)
    result = answer(joined(short, layered(seed=CLOSE, seeds=20, datasets=("squares",))), replicates=100)
    by_name = {c.comparison: c for c in result.comparisons}
    assert by_name["seed"].answer == "yes"
    assert by_name["given_id"].reason == "a dataset has 3 data seeds, fewer than 6"


def test_settings_of_no_relation_seldom_have_a_word():
    # All data seeds agree on the order of four strengths, which has nothing to do with the maps.
    drawn = {"setting": Layer(0.0, 0.1, 0.1), "methods": METHODS[:2], "strengths": STRENGTHS[:4], "seeds": 6}
    tables = (layered(**drawn, severities=(0.5, 1.0), rng=rng) for rng in range(20))
    words = [compared(table, "setting")["setting"].answer for table in tables]
    assert sum(word != "undecided" for word in words) <= 1  # 5 %


def test_a_u_shaped_dependence_on_validation_alone_adds_nothing():
    table = layered(seeds=40)
    first, second, validation = np.random.default_rng(0).normal(size=(3, len(table)))
    common = (validation**2 - 1) / 2**0.5
    for name, noise in ((SCORE, first), (OUTCOME, second)):
        table[name] += 0.05 * (0.8 * common + 0.6 * noise)
    table["valid_id.auc"] = 0.9 + 0.02 * validation
    results = compared(table, "seed", "given_id")
    assert results["seed"].answer == "yes"
    assert results["given_id"].answer == "no"
    assert results["given_id"].matched_pairs == pytest.approx(0.5, abs=0.06)


def test_the_difficulty_of_images_is_no_relation():
    # Pairs on the same images have nothing in common, pairs on others mostly the images.
    table = layered(data_seed=Layer(0.95, 0.05, 0.05), seed=WIDE, seeds=20)
    results = compared(table, "seed", "given_id")
    assert [result.answer for result in results.values()] == ["no", "no"]
    assert results["given_id"].matched_pairs == pytest.approx(0.5, abs=0.03)
    others = [part[[SCORE, OUTCOME]].corr("kendall").iloc[0, 1] for _, part in table.groupby(["method", "strength"])]
    assert np.mean(others) > 0.2


def test_one_sign_of_different_sizes_does_not_differ():
    weak, strong = (
        layered(seed=Layer(rho), severities=(s,), rng=i) for i, (rho, s) in enumerate([(0.4, 0.5), (0.9, 1)])
    )
    for result in compared(joined(weak, strong), "seed", "given_id").values():
        assert (result.answer, result.generality) == ("yes", "same sign")
        low, high = (level.estimate for level in result.strata)
        assert high - low > 0.4


def test_one_method_that_is_reversed_is_named():
    others = layered(seed=CLOSE, methods=METHODS[1:], seeds=20)
    opposite = layered(seed=Layer(-0.9, 0.05, 0.05), methods=METHODS[:1], seeds=20, rng=1)
    result = compared(joined(others, opposite), "seed")["seed"]
    assert (result.answer, result.generality, result.differ_among) == ("yes", "signs differ", "methods")
    assert result.signs[0].least.method == METHODS[0]
    assert "the sign differs among methods: −0.8" in result.sentence


def test_a_map_of_noise_whose_order_is_stable_in_one_cell_has_no_estimate():
    table = layered(setting=Layer(0.0, 0.0, 0.1), seed=Layer(0.0, 0.02, 0.02), severities=(0.5, 0.7, 0.9, 1.0))
    (result,) = compared(table, "setting").values()
    assert (result.n_cells, result.answer, result.ci_low) == (1, "undecided", None)
    assert result.reason == "1 cell has a value, fewer than 3"
    assert result.sentence.endswith("(1 cell has a value, fewer than 3).")


@pytest.mark.parametrize("n", [MINIMUM_DATASETS - 1, MINIMUM_DATASETS])
def test_below_five_datasets_nothing_is_said_of_a_new_one(n):
    table = layered(seed=CLOSE, datasets=tuple("abcdefgh"[:n]), methods=METHODS[:3], seeds=6, strengths=STRENGTHS[:2])
    result = compared(table, "seed")["seed"]
    assert (result.prediction_dataset_low is None, result.prediction_dataset_high is None) == (n < 5, n < 5)
    assert result.prediction_low is not None


def test_pairs_matched_in_validation_count_those_whose_better_map_is_better():
    assert compared(layered(seed=Layer(0.9)), "given_id")["given_id"].matched_pairs > 0.6
    assert compared(layered(seed=Layer(-0.9)), "given_id")["given_id"].matched_pairs < 0.4


@pytest.mark.parametrize(
    ("distance", "pairs"), [(0.02, 6 * 5 * (9 + 8 + 7 + 6 + 5)), (0.009, 6 * (49 + 48 + 47 + 46 + 45))]
)
def test_matched_pairs_differ_by_at_most_a_hundredth(distance, pairs):
    # Validation AUC is that of the setting: five of ten trials each, in which a trial is compared with the next five.
    table = layered(seed=CLOSE)
    table["valid_id.auc"] = 0.8 + distance * table["strength"].map(STRENGTHS.index)
    assert compared(table, "given_id")["given_id"].n_matched_pairs == pairs


@pytest.mark.slow
def test_training_seeds_that_recur_widen_the_interval():
    (scenario,) = (s for s in SCENARIOS if s.name == "a training seed shared too")
    covered = [measure(scenario, number)["seed"]["covered"] for number in range(20)]
    assert sum(covered) >= 17  # 95 % less two standard errors of chance; half of them by data seeds alone
