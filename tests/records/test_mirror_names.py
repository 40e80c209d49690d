"""Names in MLflow: unique and readable for runs, grouped for metrics, and none lost."""

import json

import pytest

from records import columns
from records.mirror_names import (
    SWEEPS_VIEW,
    TRIALS_VIEW,
    column_of_metric,
    is_plotted,
    metric,
    pack,
    run_name,
    sweeps_link,
    telling_apart,
    unpack,
    views,
)
from search_spaces import SPACES

SETTINGS = {"dataset": "synthetic", "severity": 1.0, "method": "actdiff", "strength": 1.0, "seed": 0, "data_seed": 0}
TRIAL = {"trial_key": "0123456789abcdef", **SETTINGS, "hp.lr": 1e-3}


def trials(*changes):
    return [{**TRIAL, "trial_key": f"{number:08x}00000000", **change} for number, change in enumerate(changes)]


def test_run_names_have_the_key_of_unknown_trials_and_the_tuned_settings_of_a_search():
    assert telling_apart([]) == ("trial_key",)
    assert telling_apart(trials({"hp.lr": 1e-3}), tuned=("hp.lr",)) == ("hp.lr",)
    assert run_name(TRIAL, ()) == "actdiff λ=1 s=1 seed=0"
    assert run_name(TRIAL, ("dataset", "hp.lr", "hp.absent")) == "actdiff λ=1 s=1 seed=0 synthetic lr=0.001"
    assert run_name(TRIAL, ("trial_key",)) == "actdiff λ=1 s=1 seed=0 01234567"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (({}, {"seed": 1}, {"method": "rrr"}, {"strength": 0.1}, {"severity": 0.5}), ()),
        (({}, {"dataset": "decoy_digits"}), ("dataset",)),
        (({}, {"hp.lr": 3e-3}, {"dataset": "decoy_digits"}), ("dataset", "hp.lr")),
        (({}, {"selection": "last"}), ("selection",)),
        # A setting that the method determines tells nothing apart.
        (({}, {"method": "adversarial", "hp.width": 8}), ()),
        (({"seed": 1, "data_seed": 1}, {"seed": 2, "data_seed": 2}), ()),
        (({"data_seed": 1}, {"data_seed": 2}), ("data_seed",)),
        # Equal to the sixth digit, so that no value tells them apart.
        (({"hp.lr": 1e-3}, {"hp.lr": 1.0000001e-3}), ("trial_key",)),
    ],
)
def test_names_are_as_short_as_possible_and_unique(changes, expected):
    rows = trials(*changes)
    assert telling_apart(rows) == expected
    assert len({run_name(row, expected) for row in rows}) == len(rows)


@pytest.mark.parametrize("name", [name for name, space in SPACES.items() if space().search is None])
def test_names_are_unique_in_every_space(name):
    rows = [
        {**TRIAL, **{columns.setting(key): value for key, value in settings.items()}, "trial_key": f"{number:016x}"}
        for number, settings in enumerate(SPACES[name]().trials)
    ]
    named_by = telling_apart(rows)
    assert "trial_key" not in named_by
    assert len({run_name(row, named_by) for row in rows}) == len(rows)


def test_a_later_commands_trials_have_other_names():
    earlier = trials({}, {"method": "rrr"})
    later = [{**row, "trial_key": f"later {row['method']}", "hp.lr": 3e-3} for row in earlier]
    first, second = telling_apart(earlier), telling_apart([*earlier, *later])
    names = [run_name(row, first) for row in earlier] + [run_name(row, second) for row in later]
    assert len(set(names)) == 4


@pytest.mark.parametrize("column", [column.name for column in columns.COLUMNS])
def test_a_metric_is_its_column_with_slashes(column):
    assert "." not in metric(column)
    # The name that metrics once had is read as well.
    assert column_of_metric(metric(column)) == column_of_metric(column) == column


def test_which_columns_are_metrics():
    plotted = ("test_ood.auc", "test_ood.correctness_auroc.iou.occlusion", "test_ood.iou.rise", "train_seconds")
    unplotted = ("test_ood.iou.rise.half_2", "test_ood.n", "train.n_smaller_class", "test_ood.chance_iou")
    assert [*map(is_plotted, plotted)] == [True] * 4
    assert [*map(is_plotted, [*unplotted, "attribution_seconds.rise", "schema_version"])] == [False] * 6


@pytest.mark.parametrize("size", [60, 200, 10_000])
def test_packed_numbers_can_be_unpacked(size):
    numbers = {f"test_ood.iou.map_{number}.half_1": number / 7 for number in range(12)}
    tags = pack(numbers, size)
    assert all(len(text) <= size for text in tags.values())
    assert (len(tags) == 1) == (size == 10_000)
    assert unpack({"status": "completed", **tags}) == numbers
    assert pack({}, size) == unpack({}) == {}


def test_views_are_flat_tables_sorted_by_the_first_score():
    shown = {tag: json.loads(text) for tag, text in views(["test_ood.auc", "test_ood.iou.grad_cam"]).items()}
    state = json.loads(shown[TRIALS_VIEW]["state"])
    assert (state["searchFilter"], state["orderByAsc"]) == ("tags.kind = 'trial'", False)
    assert state["orderByKey"] == state["selectedColumns"][0] == "metrics.`test_ood/auc`"
    assert {"metrics.`test_ood/iou/grad_cam`", "params.`method`"} <= {*state["selectedColumns"]}
    state = json.loads(shown[SWEEPS_VIEW]["state"])
    assert state["searchFilter"] == "tags.kind = 'sweep'"
    assert {f"metrics.`comparison/{name}/rho`" for name in columns.COMPARISONS} <= {*state["selectedColumns"]}


def test_the_link_of_several_sweeps_names_their_experiments():
    link = sweeps_link("http://host", ["7", "12"])
    assert link == "http://host/#/compare-experiments/s?experiments=%5B%227%22%2C%2212%22%5D&viewStateShareKey=sweeps"
