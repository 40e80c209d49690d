"""The end of a sweep: how the methods did, and what would answer more."""

from dataclasses import replace

import pandas as pd
import pytest
from rich.console import Console

from analysis.answer.answer import answer
from analysis.trials.exclusions import trials_from_table
from driver.plan.make_plan import make_plan
from driver.upkeep.summary import correlated, methods_summary, more

IOU = "test_ood.iou.integrated_gradients"


def table(**scores):
    """Two methods at two severities and two seeds; the outcome at the largest severity by method."""
    rows = [
        {"dataset": dataset, "severity": s, "method": method, "strength": 0.0, "seed": seed, "data_seed": seed}
        | {"test_ood.auc": values[seed] if s == 1 else 0.5, IOU: values[seed] / 2, "valid_id.auc": 0.9}
        for dataset in ("synthetic", "decoy_digits")
        for s in (0.5, 1.0)
        for method, values in scores.items()
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def result():
    return answer(trials_from_table(table(rrr=(0.1, 0.3), masked=(0.9, 0.9)), sweep="x", source="x"), replicates=100)


def lines(renderable):
    console = Console(width=80, color_system=None)
    with console.capture() as captured:
        console.print(renderable)
    return [line.rstrip() for line in captured.get().splitlines()]


def test_the_table_of_methods_by_hand(result):
    title, rest, *shown = lines(methods_summary(result))
    assert f"{title} {rest}" == (
        "OOD test AUC and IoU of integrated gradients on the OOD test set, mean ± sd over seeds and settings"
    )
    words = [line.split("  ") for line in shown if line]
    assert [[word.strip() for word in row if word] for row in words] == [
        ["method", "synthetic, s = 1", "decoy digits, s = 1"],
        ["OOD AUC", "IoU", "OOD AUC", "IoU"],
        ["masked", *["0.90 ± 0.00", "0.45 ± 0.00"] * 2],
        # The standard deviation of 0.1 and 0.3 is 0.2 / √2.
        ["RRR", *["0.20 ± 0.14", "0.10 ± 0.07"] * 2],
    ]


def test_what_the_numbers_of_the_answer_are(result):
    assert correlated(result) is None, "the answer has no number"
    parts = [replace(part, estimate=0.5) for part in result.comparisons if part.comparison != "method"]
    assert correlated(replace(result, comparisons=tuple(parts))) == (
        "The numbers are rank correlations of IoU of integrated gradients on the OOD test set with OOD test AUC, with "
        "95 % intervals. Seeds: between runs that differ in seeds alone; settings: between settings of one method, "
        "such as its strength; given validation AUC: between runs of one method at equal validation AUC."
    )


def test_what_is_not_decided_and_the_command_that_asks_more(result):
    text = more(result, make_plan("smoke", None, {}, None))
    assert text.startswith(
        "Not decided here: seeds, settings, methods and given validation AUC (no dataset with a shift has more than "
        "2 data seeds; an interval takes 6). For more "
    )
    assert text.endswith(
        "For more seeds, settings and methods: python sweep.py --space laptop (with --dry-run it says how long that "
        "takes)"
    )


@pytest.mark.parametrize(("max_trials", "cut"), [(31, True), (32, True), (192, False), (500, False)])
def test_a_plan_cut_short_is_continued_before_another_space_is_tried(max_trials, cut, result):
    plan = make_plan("smoke", None, {}, max_trials)
    assert plan.cut == cut
    assert more(result, plan).endswith("without --max-trials to run them") == cut


def test_the_command_keeps_the_dataset(result):
    assert "--space laptop --dataset synthetic (with" in more(result, make_plan("smoke", "synthetic", {}, None))


def test_a_space_without_a_larger_one(result):
    text = more(result, make_plan("own_data", None, {}, None))
    assert text.endswith("For more seeds, settings or methods: a space of your own, python sweep.py --space NAME.py")


def test_no_table_without_the_score():
    trials = trials_from_table(
        table(masked=(0.9, 0.8)).rename(columns={IOU: "test_ood.iop.occlusion"}),
        sweep="x",
        source="x",
        free_primary=False,
    )
    assert methods_summary(answer(trials, replicates=100)) is None
