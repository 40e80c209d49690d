"""The columns of a record: one table of their names, roles, kinds and labels, from which everything else derives.

To add a column: one line in `COLUMNS`, and the code that computes it.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Literal

SCHEMA_VERSION = 1
"""Of the records that are written. Raise it when a column changes its name or meaning, add the step to
`records.store.MIGRATIONS` and a stored file to tests/records/; a new column needs neither."""

SPLITS = ("train", "valid_id", "valid_ood", "test_id", "test_ood")
SPLIT_LABELS = dict(zip(SPLITS, ("training", "ID validation", "OOD validation", "ID test", "OOD test"), strict=True))
SCORED_SPLITS = ("test_id", "test_ood")
"""Splits on which attribution maps are scored."""
PERFORMANCE = ("auc", "accuracy", "loss")
PIXELS = ("zeroed", "zeros"), ("shuffled", "shuffled pixels"), ("swapped", "another image’s pixels")
"""What the probes do to the pixels outside the mask, and what is there afterwards."""
OUTSIDES = tuple(outside for outside, _ in PIXELS)
STATUSES = ("completed", "failed", "diverged")
COMPARISONS = ("seed", "setting", "method", "given_id")
"""What varies between the models that an analysis compares; a space declares them, and sweep.json keeps them."""

PLUGINS = "plugins"
"""Installed packages that provide the trial's method, dataset, model, an attribution or a metric, with their versions:
"a 1.0, b 2.1". Absent where there are none."""
COLLAPSED = "collapsed"
"""Whether the model gives the same answer for every image of test_id."""
STOPPED_EARLY = "stopped_early"
"""Whether a scheduler stopped the trial before its last epoch because of its performance."""
HYPERPARAMETER_PREFIX = "hp."
SEARCHER = f"{HYPERPARAMETER_PREFIX}searcher"
"""The searcher that chose the configuration; not part of it. `PLAIN_SEARCHERS` ignore the results of earlier trials."""
PLAIN_SEARCHERS = ("grid", "random")
CONTROLS: dict[str, object] = {
    f"{HYPERPARAMETER_PREFIX}mask_condition": "expert",
    f"{HYPERPARAMETER_PREFIX}mask_fraction": 1.0,
    f"{HYPERPARAMETER_PREFIX}mask_test": False,
}
"""The values of these columns under correct masks, also assumed where a record lacks them. A mask control differs in at
least one."""
LOWER_IS_BETTER = ("distractor_mass",)
"""Localisation metrics, all in [0, 1], for which lower is better. Records hold the measured value; the analysis uses
1 minus it (analysis/trials/scores.py)."""
ON_DISTRACTOR = ("distractor_mass",)
"""Localisation metrics of the distractor rather than the mask."""

Role = Literal[
    "key", "outcome", "configuration", "seed", "performance", "probe", "measure", "time", "provenance", "annotation"
]
"""key: identifies the trial. outcome: how it ended. configuration: a setting of the training, seeds apart. performance:
AUC, accuracy or loss on a split. probe: an AUC on images with an altered outside. measure: any other result. time,
provenance: differ between two runs of one configuration. annotation: everything else."""
Kind = Literal["text", "number", "flag", "any"]


@dataclass(frozen=True)
class Column:
    """A column or, with placeholders in braces, a family of columns.

    A family is called with the values of its placeholders, in order, and returns the name of a column.
    """

    name: str
    role: Role
    kind: Kind
    label: str
    """For people; may repeat the name's placeholders."""

    def __call__(self, *values: object) -> str:
        return re.sub(r"{\w+}", "{}", self.name).format(*values)


def measure(family: str, label: str) -> Column:
    """A family of numbers about the model or its maps."""
    return Column(family, "measure", "number", label)


hyperparameter = Column(HYPERPARAMETER_PREFIX + "{name}", "configuration", "any", "{name}")
"""A setting without a column of its own."""
images = measure("{split}.n", "images in the {split} set")
"""The number of images behind the split's accuracy."""
half = measure("{column}.half_{which}", "{column}, half {which}")
"""The same score on one of two random halves of the split's images, 1 or 2."""
chance_iou = measure("{split}.chance_iou", "chance IoU on the {split} set")
"""The IoU of a random region with the mask's area fraction p: p / (2 − p)."""
faithfulness = measure("{split}.faithfulness.{measure}.{attribution}", "{measure} of {attribution} on the {split} set")
"""A covariate of localisation scores, not one of them."""
localisation = measure("{split}.{metric}.{attribution}", "{metric} of {attribution} on the {split} set")
"""For example `test_ood.iou.integrated_gradients`."""
correctness_auroc = measure(
    "{split}.correctness_auroc.{metric}.{attribution}",
    "AUROC of {metric} of {attribution} for right answers on the {split} set",
)
"""Does a better map go with a right answer?"""
map_size = measure("map_size.{attribution}", "map size of {attribution}")
"""The shorter side of the maps in pixels before upsampling; absent without upsampling."""
randomisation = measure("randomisation.{measure}.{attribution}", "{measure} of {attribution} against random weights")
"""Maps of the trained against random weights; the measure is rank_correlation, ssim or failed."""
attribution_time = Column("attribution_seconds.{attribution}", "time", "number", "seconds of {attribution}")
"""The part of `attribution_seconds` spent on this attribution's maps."""


def performance(split: str, score: str) -> str:
    """`<split>.auc`, `<split>.accuracy` or `<split>.loss`."""
    return f"{split}.{score}"


def probe(outside: str) -> str:
    """`test_id.auc_outside_<outside>`: the AUC on the ID test images with a mask, their outside altered."""
    return f"test_id.auc_outside_{outside}"


COLUMNS = (
    Column("trial_key", "key", "text", "trial key"),
    Column("sweep", "provenance", "text", "sweep"),
    Column("status", "outcome", "text", "status"),
    Column("error", "outcome", "text", "error"),
    Column("dataset", "configuration", "text", "dataset"),
    Column("severity", "configuration", "number", "severity"),
    Column("method", "configuration", "text", "method"),
    Column("strength", "configuration", "number", "strength"),
    Column("model", "configuration", "text", "model"),
    Column("seed", "seed", "number", "seed"),
    Column("data_seed", "seed", "number", "data seed"),
    Column("preset", "configuration", "text", "preset"),
    Column("selection", "configuration", "text", "selection"),
    Column("epochs", "configuration", "number", "epochs"),
    Column("best_epoch", "outcome", "number", "best epoch"),
    Column(SEARCHER, "annotation", "text", "searcher"),
    hyperparameter,
    *(
        Column(performance(split, score), "performance", "number", f"{SPLIT_LABELS[split]} {label}")
        for split in SPLITS
        for score, label in zip(PERFORMANCE, ("AUC", "accuracy", "loss"), strict=True)
    ),
    *(Column(probe(outside), "probe", "number", f"AUC with {pixels} outside the mask") for outside, pixels in PIXELS),
    Column(COLLAPSED, "measure", "flag", "collapsed"),
    Column(STOPPED_EARLY, "measure", "flag", "stopped early"),
    Column("model_steps", "measure", "number", "optimisation steps"),
    images,
    Column("{split}.n_smaller_class", "measure", "number", "images of the smaller class in the {split} set"),
    *(half, chance_iou, faithfulness, localisation, correctness_auroc, map_size, randomisation),
    attribution_time,
    Column("train_seconds", "time", "number", "training seconds"),
    Column("evaluate_seconds", "time", "number", "evaluation seconds"),
    Column("attribution_seconds", "time", "number", "attribution seconds"),
    Column("started_at", "time", "text", "started at"),
    Column(PLUGINS, "annotation", "text", "plug-ins"),
    Column("host", "provenance", "text", "host"),
    Column("code_version", "provenance", "text", "code version"),
    Column("schema_version", "annotation", "number", "schema version"),
    Column("mlflow_run_id", "provenance", "text", "MLflow run"),
)
"""In the order of a record and of trials.parquet. Hyperparameters and measures are sorted by name."""

IDENTITY = tuple(c.name for c in takewhile(lambda c: not c.name.startswith(HYPERPARAMETER_PREFIX), COLUMNS))
"""The columns before the hyperparameters."""


def with_role(*roles: Role) -> tuple[str, ...]:
    """The names of the columns with one of these roles, families left out."""
    return tuple(column.name for column in COLUMNS if column.role in roles and "{" not in column.name)


PROBES = with_role("probe")
NOTED = tuple(
    column.name
    for column in COLUMNS
    if column.kind in ("text", "flag")
    and column.role not in ("key", "configuration", "seed")
    and column.name not in ("sweep", SEARCHER, "mlflow_run_id")
)
"""Columns with a text or a flag about a trial, apart from its settings and from what names it in MLflow."""


def setting(name: str) -> str:
    """The column of a trial's setting: one of its own, or `hp.<name>`."""
    return name if name in IDENTITY else hyperparameter(name)


def column_of(name: str) -> Column:
    """The entry of `COLUMNS` for the column `name`; a name that is not there is a measure of any kind."""
    return _lookup(name)[0]


def configuration_in(names: Iterable[object]) -> list[str]:
    """The columns among `names` that are part of a trial's configuration: its settings, seeds apart."""
    return [name for name in map(str, names) if column_of(name).role == "configuration"]


def settings_in(names: Iterable[object]) -> list[str]:
    """The columns among `names` that are part of a trial's configuration or a seed."""
    return [name for name in map(str, names) if column_of(name).role in ("configuration", "seed")]


def is_run_specific(name: str) -> bool:
    """Whether two runs of one configuration may differ in the column; all others are equal bit for bit."""
    return column_of(name).role in ("time", "provenance")


def label(name: str, words: Callable[[str], str] = lambda word: word.replace("_", " ")) -> str:
    """A column's name for people: "OOD test AUC", "iou of grad cam on the OOD test set".

    `words` turns the name of a metric, attribution or setting into words.
    """
    column, values = _lookup(name)
    shown = {part: SPLIT_LABELS.get(value) or words(value) for part, value in values.items()}
    if "column" in values:
        shown["column"] = label(values["column"], words)
    return column.label.format(**shown) if column.label else words(name)


def parse_localisation(name: str) -> tuple[str, str, str] | None:
    """(split, metric, attribution) of a localisation column, or None for any other column.

    A column that extends another one's name, such as `test_ood.auc.half_1` or the `test_ood.auc.1` that pandas makes of
    a repeated name, is not a localisation column.
    """
    parts = name.split(".")
    if len(parts) == 3 and parts[0] in SCORED_SPLITS and not column_of(".".join(parts[:2])).label:
        return parts[0], parts[1], parts[2]
    return None


def ordered(names: Iterable[str]) -> list[str]:
    """Column names in the order of `COLUMNS`."""

    def place(name: str) -> int:
        return len(IDENTITY) if name.startswith(HYPERPARAMETER_PREFIX) else _PLACES.get(name, _MEASURES)

    return sorted(names, key=lambda name: (place(name), name))


_NAMED = {column.name: column for column in COLUMNS if "{" not in column.name}
_PLACES = {column.name: place for place, column in enumerate(COLUMNS) if column.role != "measure"}
_MEASURES = COLUMNS.index(_NAMED[COLLAPSED])
_VALUES = {"split": "|".join(SPLITS), "which": "[12]", "column": ".+", "name": ".+"}
_FAMILIES = tuple(
    (column, re.compile(re.sub(r"\\{(\w+)\\}", lambda m: f"(?P<{m[1]}>{_VALUES.get(m[1], '[^.]+')})", escaped)))
    for column, escaped in ((column, re.escape(column.name)) for column in COLUMNS if "{" in column.name)
)
"""Each family with a pattern that matches its columns."""


@lru_cache(maxsize=10_000)
def _lookup(name: str) -> tuple[Column, dict[str, str]]:
    """A column's entry in `COLUMNS`, and the values of its placeholders."""
    if name in _NAMED:
        return _NAMED[name], {}
    for column, pattern in _FAMILIES:
        if match := pattern.fullmatch(name):
            return column, match.groupdict()
    return Column(name, "measure", "any", ""), {}
