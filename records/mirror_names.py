"""Names in a sweep's MLflow experiment: of runs and metrics, of the tag of unplotted numbers, and of views.

MLflow groups metrics by prefixes that end with a slash, so the column `test_ood.iou.grad_cam` is the metric
`test_ood/iou/grad_cam`.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from records import columns

EPOCH = "epoch"
"""Prefix of metrics with a value per epoch."""
UNPLOTTED = "unplotted"
"""Tag of a trial's run: numbers of its record that are no metrics, as a JSON object; continued in `unplotted.2` and so
on if too long."""
UNPLOTTED_COLUMNS = (
    columns.half("{column}", "{which}"),
    columns.images("{split}"),
    "{split}.n_smaller_class",
    columns.chance_iou("{split}"),
    columns.map_size("{attribution}"),
    columns.attribution_time("{attribution}"),
    "model_steps",
    "schema_version",
)
PLACES = ("dataset", columns.hyperparameter("root"))
"""Where the images are, which is no part of the trial key. MLflow's parameters cannot change, so if a failed trial is
repeated after its images moved, the new place is a tag."""
KEY = "trial_key"
KEY_DIGITS = 8
"""Of a trial key in a run's name."""
SETTINGS_IN_NAMES = ("method", "strength", "severity", "seed")
"""Part of every trial's run name."""
FIRST_TO_TELL_APART = ("dataset", columns.hyperparameter("lr"))
TRIALS, SWEEPS = "trials", "sweeps"
"""Keys of the views that the links open: of a sweep's trials, and of several sweeps."""
COLUMN_WIDTHS = {"attributes.`Run Name`": 300, "attributes.`Created`": 110}
"""Of the columns that MLflow shows of every run, in pixels."""
CHARACTER, MARGIN = 6, 40
"""Of a column's title, in pixels."""


def metric(column: str) -> str:
    """The metric of a column."""
    return column.replace(".", "/")


def column_of_metric(name: str) -> str:
    """The column of a metric; before, metrics were named like their columns."""
    return name.replace("/", ".")


def is_plotted(column: str) -> bool:
    """Whether a column's number is a metric rather than a part of the tag `unplotted`."""
    return columns.column_of(column).name not in UNPLOTTED_COLUMNS


def pack(numbers: Mapping[str, float], size: int) -> dict[str, str]:
    """Numbers as tags whose values are JSON objects of at most `size` characters."""
    parts: list[dict[str, float]] = [{}]
    length = 2
    for name, number in numbers.items():
        more = len(json.dumps({name: number}))
        if length + more > size:
            parts.append({})
            length = 2
        parts[-1][name] = number
        length += more
    return {_tag(place): json.dumps(part) for place, part in enumerate(parts, 1) if part}


def unpack(tags: Mapping[str, str]) -> dict[str, float]:
    """The numbers in a run's tags."""
    numbers: dict[str, float] = {}
    place = 1
    while (text := tags.get(_tag(place))) is not None:
        numbers |= json.loads(text)
        place += 1
    return numbers


def _tag(place: int) -> str:
    return UNPLOTTED if place == 1 else f"{UNPLOTTED}.{place}"


def telling_apart(trials: Iterable[Mapping[str, Any]], tuned: Iterable[str] = ()) -> tuple[str, ...]:
    """The fewest columns that, with `SETTINGS_IN_NAMES`, give each trial another name; the key if necessary.

    Args:
        trials: the columns of all trials of a sweep, done or planned.
        tuned: columns whose values a search chooses, which are therefore not all known.
    """
    rows = list({row[KEY]: row for row in trials}.values())
    if not rows:
        return (KEY,)
    settings = list(dict.fromkeys(name for row in rows for name in columns.settings_in(row)))
    varying = [name for name in settings if len({str(row.get(name)) for row in rows}) > 1]
    order = dict.fromkeys([*FIRST_TO_TELL_APART, *varying])
    chosen = list(tuned)
    names = Counter(run_name(row, chosen) for row in rows)
    for column in order:
        if len(names) == len(rows):
            return tuple(chosen)
        if column in varying and column not in (*SETTINGS_IN_NAMES, *chosen):
            longer = Counter(run_name(row, [*chosen, column]) for row in rows)
            if len(longer) > len(names):
                chosen, names = [*chosen, column], longer
    return tuple(chosen) if len(names) == len(rows) else (*chosen, KEY)


def run_name(record: Mapping[str, Any], named_by: Sequence[str]) -> str:
    """A name such as "actdiff λ=1 s=1 seed=0", followed by the values of the columns `named_by`."""
    name = f"{record['method']} λ={record['strength']:g} s={record['severity']:g} seed={record['seed']}"
    return " ".join([name, *(_shown(column, record[column]) for column in named_by if record.get(column) is not None)])


def _shown(column: str, value: Any) -> str:
    if column == KEY:
        return str(value)[:KEY_DIGITS]
    if column == "dataset":
        return str(value)
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{column.removeprefix(columns.HYPERPARAMETER_PREFIX)}={text}"


def view_tag(key: str) -> str:
    """The tag of an experiment in which MLflow's UI looks up a view."""
    return f"mlflow.sharedViewState.{key}"


def trials_view(scores: Sequence[str]) -> str:
    """The view of a sweep's trials with their settings and the columns `scores`, sorted by the first score."""
    params = ("dataset", "method", "strength", "severity", "seed")
    return _view("Trials", "trial", [("metrics", metric(s)) for s in scores] + [("params", p) for p in params])


def sweeps_view() -> str:
    """The view of several sweeps with their size, comparisons and design, the largest first."""
    metrics = ["n_trials", *(f"comparison/{comparison}/rho" for comparison in columns.COMPARISONS)]
    tags = ("answer", "datasets", "severities", "data_seeds", "methods")
    return _view("Sweeps", "sweep", [("metrics", m) for m in metrics] + [("tags", tag) for tag in tags])


def _view(name: str, kind: str, titles: Sequence[tuple[str, str]]) -> str:
    """The value of a view's tag: runs of one kind in a flat table with these columns, sorted by the first.

    By default MLflow sorts by start, and then folds trials under the sweep's run.
    """
    widths = {f"{group}.`{title}`": max(100, CHARACTER * len(title) + MARGIN) for group, title in titles}
    shown = list(widths)
    state = {
        "searchFilter": f"tags.kind = '{kind}'",
        "orderByKey": shown[0],
        "orderByAsc": False,
        "selectedColumns": shown,
        "columnOrder": [*COLUMN_WIDTHS, *shown],
        "columnWidths": {**COLUMN_WIDTHS, **widths},
    }
    now = int(time.time() * 1000)
    return json.dumps({"name": name, "createdAt": now, "updatedAt": now, "state": json.dumps(state)})


def trials_link(server: str, experiment_id: str) -> str:
    """The address of a sweep's trials in an MLflow server's UI, whose default page is empty."""
    page = f"experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={TRIALS}"
    return f"{server.rstrip('/')}/#/{page}"


def sweeps_link(server: str, experiment_ids: Sequence[str]) -> str:
    """The address of a page with several sweeps side by side."""
    listed = quote(json.dumps(list(experiment_ids), separators=(",", ":")))
    return f"{server.rstrip('/')}/#/compare-experiments/s?experiments={listed}&viewStateShareKey={SWEEPS}"
