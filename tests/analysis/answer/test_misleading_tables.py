"""The whole answer on tables made to mislead: whatever is said must be true of the table."""

import numpy as np
import pandas as pd
from support.layered_trials import METHODS, OUTCOME, SCORE, STRENGTHS, Layer, layered

from analysis.answer.answer import answer
from analysis.sections.comparisons import SECTION as COMPARISONS

UNDECIDED = {
    "seed": "Undecided: these trials do not show whether, of two runs of the same recipe, the one with the better map "
    "generalizes better",
    "setting": "Undecided: these trials do not show whether settings with better maps generalize better",
    "method": "Undecided: these methods do not show whether methods with better maps generalize better",
    "given_id": "Undecided: these trials do not show whether maps add to ID validation AUC",
}
YES = {
    "seed": "Yes: of two runs of the same recipe, the one with the better map tends to generalize better",
    "setting": "Yes: within a method, settings with better maps tend to generalize better",
    "method": "Yes: methods with better maps tend to generalize better",
    "given_id": "Yes: of models with equal ID validation AUC, those with better maps tend to generalize better",
}
DEPENDS = {
    "seed": "It depends: whether the run with the better map generalizes better differs between methods and strata",
    "given_id": "It depends: whether maps add to ID validation AUC differs between methods and strata",
}
CLOSE, WIDE = Layer(0.95, 0.05, 0.05), Layer(0.0, 0.05, 0.05)


def said(table):
    """(the verdict's sentence, each comparison's sentence)."""
    result = answer(table, replicates=100)
    return result.verdict.sentence, {c.comparison: c.sentence for c in result.comparisons}


def joined(*tables):
    return pd.concat(tables, ignore_index=True)


def assert_one_reason(table, reason, estimates=()):
    """All comparisons are undecided for one reason, whatever correlation stands beside it."""
    verdict, sentences = said(table)
    assert verdict == f"Undecided: {reason}."
    for name, beginning in UNDECIDED.items():
        rho = dict(estimates).get(name)
        without = "" if rho is None else f"rank correlation {rho} without an interval: "
        assert sentences[name] == f"{beginning} ({without}{reason})."


def test_no_shift():
    assert_one_reason(
        layered(seed=CLOSE, severities=(0.0,)),
        "no trial has a shift: every severity is 0, where performance on OOD images is performance on ID images",
    )


def test_three_data_seeds():
    assert_one_reason(
        layered(seed=CLOSE, seeds=3),
        "no dataset with a shift has more than 3 data seeds; an interval takes 6",
        {"setting": "0.81", "given_id": "0.94"},
    )


def test_unknown_data_seeds():
    table = layered(seed=CLOSE).drop(columns="data_seed")
    assert_one_reason(
        table,
        "the table has no column 'data_seed', so it is not known which trials share their images",
        {"seed": "0.93", "given_id": "0.94"},
    )
    # Nobody counted them, so no number of data seeds is named.
    assert answer(table, replicates=100).notes == ("No primary comparison was declared, so the default is used.",)


def test_the_ceiling():
    table = layered(seed=CLOSE)
    table[OUTCOME] = 1 - 0.001 * np.random.default_rng(0).random(len(table))
    assert_one_reason(table, "OOD test AUC varies by less than 0.01 wherever there is a shift")


def test_a_ceiling_without_the_shift_is_none_with_it():
    table = layered(seed=CLOSE, severities=(0.0, 1.0))
    table.loc[table["severity"] == 0, OUTCOME] = 1.0
    assert said(table)[0].startswith("Undecided in part. Seeds: yes, ")


def test_one_trial_under_several_seeds():
    table = layered(seed=CLOSE)
    for name in (OUTCOME, SCORE, "valid_id.auc"):
        table[name] = np.repeat(table[name].to_numpy()[::5], 5)
    verdict, _ = said(table)
    assert verdict == (
        "Undecided: 240 trials repeat another seed's scores to the last digit, so seeds are no replicates here; remove "
        "the copies."
    )


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
        result = answer(rows, replicates=100)
        for c in result.comparisons:
            assert (c.reason == only) is (c.comparison in concerned)
            if c.comparison in concerned:
                assert (c.answer, c.ci_low, c.joint_low) == ("undecided", None, None)
                assert c.estimate > 0.5
                assert c.sentence.endswith(f"without an interval: {only}).")
        settings = next(c for c in result.comparisons if c.comparison == "setting")
        assert f"Settings: undecided, {settings.estimate:.2f} ({only})." in result.verdict.sentence
        remarks = {row[0][0]: row[-1][1] for row in COMPARISONS.tables(result, result.comparisons)[0].rows}
        assert {name for name, remark in remarks.items() if remark == only} == concerned


def test_two_cells():
    few = "2 cells carry it, fewer than 3"
    verdict, sentences = said(layered(seed=WIDE, setting=Layer(0.9, 0.1, 0.1), methods=METHODS[:2]))
    assert verdict == (
        f"Undecided. Seeds: undecided, −0.08 ({few}). Settings: undecided, 0.67 ({few}). Methods: undecided. Given "
        f"validation AUC: undecided, 0.42 ({few})."
    )
    assert sentences == {
        "seed": f"{UNDECIDED['seed']} (rank correlation −0.08 without an interval: {few}).",
        "setting": f"{UNDECIDED['setting']} (rank correlation 0.67 without an interval: {few}).",
        "method": f"{UNDECIDED['method']} (fewer than 4 methods in the only stratum).",
        "given_id": f"{UNDECIDED['given_id']} (rank correlation 0.42 without an interval: {few}).",
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
    verdict, sentences = said(joined(*cells))
    assert verdict == (
        "It depends on the method, dataset or severity. Seeds: it depends, −0.08 (−0.21 to 0.05). Settings: undecided. "
        "Methods: undecided. Given validation AUC: it depends, −0.07 (−0.18 to 0.03)."
    )
    assert sentences["seed"] == (
        f"{DEPENDS['seed']} (rank correlation −0.08, 95 % interval −0.21 to 0.05; a method on a new dataset or "
        "severity must expect −1.00 to 0.99; by dataset and severity it is −0.16 to 0.04; 0.1 of IoU goes with 0.00 of "
        "OOD test AUC; from 1,200 trials in 24 cells)."
    )


def test_one_dominant_cell():
    # 600 of 850 trials are of one method, where maps say all; on the other five they say nothing.
    others = layered(seed=WIDE, methods=METHODS[1:])
    one = layered(seed=CLOSE, methods=METHODS[:1], strengths=tuple(range(1, 61)))
    verdict, sentences = said(joined(others, one))
    assert verdict == (
        "It depends on the method, dataset or severity. Seeds: it depends, 0.81 (0.75 to 0.86). Settings: undecided. "
        "Methods: undecided. Given validation AUC: it depends, 0.86 (0.83 to 0.88)."
    )
    assert sentences["seed"] == (
        f"{DEPENDS['seed']} (rank correlation 0.81, 95 % interval 0.75 to 0.86; a new method must expect −0.92 to "
        "0.97; 0.1 of IoU goes with 0.07 of OOD test AUC; from 850 trials in 6 cells)."
    )


def test_settings_that_do_nothing_while_seeds_correlate():
    # The averages of ten seeds correlate as seeds do; settings have no order of their own.
    verdict, sentences = said(layered(seed=Layer(0.9, 0.1, 0.1)))
    assert verdict == (
        "Undecided in part. Seeds: yes, 0.87 (0.78 to 0.93). Settings: undecided. Methods: undecided. Given validation "
        "AUC: yes, 0.89 (0.84 to 0.93)."
    )
    assert sentences["setting"] == (
        f"{UNDECIDED['setting']} (mean outcome of settings varies by less than 0.01 in 4 cells, settings in no stable "
        "order between halves of the data seeds in 2 cells)."
    )
    assert sentences["method"] == (
        f"{UNDECIDED['method']} (methods in no stable order between halves of the data seeds in the only stratum)."
    )


def test_settings_and_seeds_of_opposite_signs():
    verdict, sentences = said(layered(seed=Layer(-0.9), setting=Layer(0.95, 0.05, 0.05)))
    assert verdict == (
        "It depends on what varies between the models. Seeds: reverse, −0.85 (−0.90 to −0.78). Settings: yes, 0.72 "
        "(0.48 to 0.86). Methods: undecided. Given validation AUC: yes, 0.41 (0.33 to 0.48)."
    )
    assert sentences == {
        "seed": "Reverse: of two runs of the same recipe, the one with the better map tends to generalize worse (rank "
        "correlation −0.85, 95 % interval −0.90 to −0.78; 0.1 of IoU goes with −0.09 of OOD test AUC; from 300 trials "
        "in 6 cells).",
        "setting": f"{YES['setting']} (rank correlation 0.72, 95 % interval 0.48 to 0.86; 0.1 of IoU goes with 0.09 of "
        "OOD test AUC; from 30 settings with 300 trials in 6 cells).",
        "method": f"{UNDECIDED['method']} (mean outcome of methods varies by less than 0.01 in the only stratum).",
        "given_id": f"{YES['given_id']} (rank correlation 0.41, 95 % interval 0.33 to 0.48; "
        "0.1 of IoU goes with 0.05 of OOD test AUC; from 300 trials in 6 cells).",
    }


def test_everything_related_is_four_times_yes():
    table = layered(
        seed=CLOSE,
        setting=Layer(0.98, 0.1, 0.1),
        method=Layer(0.98, 0.3, 0.3),
        methods=tuple(f"method_{i}" for i in range(10)),
        strengths=STRENGTHS[:4],
        datasets=("crosses", "squares"),
        seeds=12,
    )
    verdict, sentences = said(table)
    assert verdict == (
        "Yes, by each comparison: models with better maps generalize better. Seeds: yes, 0.94 (0.92 to 0.95). "
        "Settings: yes, 0.96 (0.92 to 0.97). Methods: yes, 0.99 (0.94 to 1.00). Given validation AUC: yes, 0.97 (0.96 "
        "to 0.97)."
    )
    effect = "0.1 of IoU goes with 0.10 of OOD test AUC"
    assert sentences == {
        "seed": f"{YES['seed']} (rank correlation 0.94, 95 % interval 0.92 to 0.95; {effect}; from 960 trials in 20 "
        "cells).",
        "setting": f"{YES['setting']} (rank correlation 0.96, 95 % interval 0.92 to 0.97; {effect}; from 64 settings "
        "with 768 trials in 16 cells).",
        "method": f"{YES['method']} (rank correlation 0.99, 95 % interval 0.94 to 1.00; {effect}; from 960 trials in 2 "
        "strata).",
        "given_id": f"{YES['given_id']} (rank correlation 0.97, 95 % interval 0.96 to 0.97; {effect}; from 960 trials "
        "in 20 cells).",
    }


def test_nothing_related_is_a_no_with_many_seeds():
    verdict, sentences = said(layered(seed=WIDE, seeds=40))
    assert verdict == (
        "Undecided in part. Seeds: no, −0.02 (−0.10 to 0.05). Settings: undecided. Methods: undecided. Given "
        "validation AUC: no, −0.01 (−0.07 to 0.05)."
    )
    assert sentences["seed"] == (
        "No: of two runs of the same recipe, the maps hardly say which one generalizes better (rank correlation −0.02, "
        "95 % interval −0.10 to 0.05; 0.1 of IoU goes with 0.00 of OOD test AUC; from 1,200 trials in 6 cells)."
    )


def test_a_low_upper_bound_alone_is_no_no():
    # Maps that go with worse performance, on few trials: a correlation below .3 is likely, one near zero is not shown.
    _, sentences = said(layered(seed=Layer(-0.45, 0.05, 0.05), seeds=8, methods=METHODS[:4], strengths=(1.0,), rng=2))
    assert sentences["seed"] == (
        f"{UNDECIDED['seed']} (rank correlation −0.36, 95 % interval −0.71 to 0.14; the interval holds −0.3; it would "
        "take over 20 times as many data seeds to decide; 0.1 of IoU goes with −0.05 of OOD test AUC; from 32 trials "
        "in 4 cells)."
    )


def test_two_datasets_of_unequal_size():
    # The large one has the association, the small one has none; the sum of trials is not what decides.
    small = layered(seed=WIDE, seeds=8)
    large = layered(seed=Layer(0.6, 0.05, 0.05), seeds=30, datasets=("squares",), rng=3)
    verdict, sentences = said(joined(small, large))
    assert verdict == (
        "It depends on the method, dataset or severity. Seeds: it depends, 0.49 (0.45 to 0.54). Settings: undecided. "
        "Methods: undecided. Given validation AUC: it depends, 0.48 (0.44 to 0.53)."
    )
    assert sentences["seed"] == (
        f"{DEPENDS['seed']} (rank correlation 0.49, 95 % interval 0.45 to 0.54; a method on a new dataset or severity "
        "must expect −0.49 to 0.82; by dataset and severity it is −0.04 to 0.57; 0.1 of IoU goes with 0.05 of OOD test "
        "AUC; from 1,140 trials in 12 cells)."
    )


def test_two_datasets_of_unequal_size_that_agree():
    sides = [
        layered(seed=Layer(0.6, 0.05, 0.05), seeds=seeds, datasets=(d,)) for seeds, d in ((8, "crosses"), (30, "x"))
    ]
    _, sentences = said(joined(*sides))
    assert sentences["seed"] == (
        f"{YES['seed']} (rank correlation 0.59, 95 % interval 0.55 to 0.63; 0.1 of IoU goes with 0.06 of OOD test AUC; "
        "from 1,140 trials in 12 cells)."
    )


def test_a_dataset_with_too_few_data_seeds_does_not_silence_the_other():
    short = layered(seed=Layer(0.6, 0.05, 0.05), seeds=3)
    verdict, sentences = said(joined(short, layered(seed=CLOSE, seeds=20, datasets=("squares",))))
    assert verdict.startswith("Undecided in part. Seeds: yes, ")
    assert sentences["given_id"].endswith(" without an interval: a dataset has 3 data seeds, fewer than 6).")
