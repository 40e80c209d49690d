"""Names in a sweep's MLflow experiment: of runs and metrics, of the tag of unplotted numbers, and of views.

MLflow groups metrics by prefixes that end with a slash, so the column `test_ood.iou.grad_cam` is the metric
`test_ood/iou/grad_cam`.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import count, takewhile
from typing import Any
from urllib.parse import quote

from pydantic import TypeAdapter

from records import columns

UNPLOTTED = "unplotted"
"""Tag of a trial's run: numbers of its record that are not metrics, as a JSON object; continued in `unplotted.2` and so
on if too long."""
UNPLOTTED_COLUMNS = (
    *(columns.half.name, columns.images.name, "{split}.n_smaller_class", columns.chance_iou.name),
    *(columns.map_size.name, columns.attribution_time.name, "model_steps", "schema_version"),
)
PLACES = ("dataset", columns.hyperparameter("root"))
"""Where the images are, which is no part of the trial key. MLflow's parameters cannot change, so if a failed trial is
repeated after its images moved, the new place is a tag."""
KEY = "trial_key"
SETTINGS_IN_NAMES = ("method", "strength", "severity", "seed")
FIRST_TO_TELL_APART = ("dataset", columns.hyperparameter("lr"))
TRIALS_VIEW, SWEEPS_VIEW = "mlflow.sharedViewState.trials", "mlflow.sharedViewState.sweeps"
"""Tags of an experiment in which MLflow's UI looks up the views that the links open, by the last part of the tag."""
COLUMN_WIDTHS = {"attributes.`Run Name`": 300, "attributes.`Created`": 110}
"""Of the columns that MLflow shows of every run, in pixels."""
CHARACTER, MARGIN = 6, 40
"""Of a column's title, in pixels."""


NUMBERS = TypeAdapter(dict[str, int | float])


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
    objects: list[str] = []
    for name, number in numbers.items():
        entry = json.dumps({name: number})
        if objects and len(objects[-1]) + len(entry) <= size:
            objects[-1] = f"{objects[-1][:-1]}, {entry[1:]}"
        else:
            objects.append(entry)
    return {_tag(place): text for place, text in enumerate(objects, 1)}


def unpack(tags: Mapping[str, str]) -> dict[str, float]:
    """The numbers in a run's tags. Raises ValueError if one of these tags holds something else."""
    texts = takewhile(bool, (tags.get(_tag(place), "") for place in count(1)))
    return {name: number for text in texts for name, number in NUMBERS.validate_json(text).items()}


def _tag(place: int) -> str:
    return UNPLOTTED if place == 1 else f"{UNPLOTTED}.{place}"


def telling_apart(trials: Iterable[Mapping[str, Any]], tuned: Iterable[str] = ()) -> tuple[str, ...]:
    """The fewest columns that, with `SETTINGS_IN_NAMES`, give each trial, done or planned, a different name.

    They include the columns `tuned`, whose values a search chooses and are not all known, and if necessary the key.
    """
    rows = list({row[KEY]: row for row in trials}.values())
    if not rows:
        return (KEY,)

    def different(named_by: Sequence[str]) -> int:
        return len({run_name(row, named_by) for row in rows})

    settings = dict.fromkeys([*FIRST_TO_TELL_APART, *(name for row in rows for name in columns.settings_in(row))])
    varying = [name for name in settings if len({str(row.get(name)) for row in rows}) > 1]
    chosen = tuple(tuned)
    names = different(chosen)
    for column in varying:
        if names < len(rows) and column not in (*SETTINGS_IN_NAMES, *chosen):
            more = different((*chosen, column))
            if more > names:
                chosen, names = (*chosen, column), more
    return chosen if names == len(rows) else (*chosen, KEY)


def run_name(record: Mapping[str, Any], named_by: Sequence[str]) -> str:
    """A name such as "actdiff λ=1 s=1 seed=0", followed by the values of the columns `named_by`."""
    name = f"{record['method']} λ={record['strength']:g} s={record['severity']:g} seed={record['seed']}"
    return " ".join([name, *(_shown(column, record[column]) for column in named_by if record.get(column) is not None)])


def _shown(column: str, value: Any) -> str:
    if column == KEY:
        return str(value)[:8]
    if column == "dataset":
        return str(value)
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{column.removeprefix(columns.HYPERPARAMETER_PREFIX)}={text}"


def views(scores: Sequence[str]) -> dict[str, str]:
    """The views of a sweep's trials and of several sweeps, by the tag of an experiment.

    Trials are shown with the columns `scores` and their settings, sorted by the first score; sweeps with their size,
    comparisons and design, the largest first.
    """
    params = ("dataset", "method", "strength", "severity", "seed")
    trials = [*(("metrics", metric(score)) for score in scores), *(("params", name) for name in params)]
    comparisons = [f"comparison/{comparison}/rho" for comparison in columns.COMPARISONS]
    tags = ("answer", "datasets", "severities", "data_seeds", "methods")
    sweeps = [*(("metrics", name) for name in ["n_trials", *comparisons]), *(("tags", name) for name in tags)]
    return {TRIALS_VIEW: _view("Trials", "trial", trials), SWEEPS_VIEW: _view("Sweeps", "sweep", sweeps)}


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
    runs = f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs"
    return f"{runs}?workflowType=machine_learning&viewStateShareKey=trials"


def sweeps_link(server: str, experiment_ids: Sequence[str]) -> str:
    """The address of a page with several sweeps side by side."""
    listed = quote(json.dumps(list(experiment_ids), separators=(",", ":")))
    return f"{server.rstrip('/')}/#/compare-experiments/s?experiments={listed}&viewStateShareKey=sweeps"
