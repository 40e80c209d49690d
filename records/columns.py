"""The names of a record's columns, written once for those who write them and those who read them."""

SCHEMA_VERSION = 1

SPLITS = ("train", "valid_id", "valid_ood", "test_id", "test_ood")
SCORED_SPLITS = ("test_id", "test_ood")
"""Splits on which attribution maps are scored."""

STATUSES = ("completed", "failed", "diverged")

IDENTITY = (
    "trial_key",
    "sweep",
    "status",
    "error",
    "dataset",
    "severity",
    "method",
    "strength",
    "model",
    "seed",
    "data_seed",
    "preset",
    "selection",
    "epochs",
    "best_epoch",
)
PERFORMANCE = ("auc", "accuracy", "loss")
TIMES = ("train_seconds", "evaluate_seconds", "attribution_seconds", "started_at")
PROVENANCE = ("host", "code_version", "schema_version", "mlflow_run_id")
PLUGINS = "plugins"
"""Other packages that bring the trial's method, dataset, model, an attribution or a metric, each with its version:
"a 1.0, b 2.1". Where there are none the record has no such column."""
RUN_SPECIFIC = (*TIMES, "sweep", "host", "code_version", "mlflow_run_id")
"""Columns that may differ between two runs of one configuration, beside the `attribution_time` of each attribution; see
`is_run_specific`."""

HYPERPARAMETER_PREFIX = "hp."

COLLAPSED = "collapsed"
"""Whether the model answers every image of test_id alike."""
STOPPED_EARLY = "stopped_early"
"""Whether a scheduler ended the trial before its epochs, because of how it was doing."""
SEARCHER = f"{HYPERPARAMETER_PREFIX}searcher"
"""What chose the configuration. One of `PLAIN_SEARCHERS`, or none, did not look at earlier results."""
PLAIN_SEARCHERS = ("grid", "random")
CONTROLS: dict[str, object] = {
    f"{HYPERPARAMETER_PREFIX}mask_condition": "expert",
    f"{HYPERPARAMETER_PREFIX}mask_fraction": 1.0,
    f"{HYPERPARAMETER_PREFIX}mask_test": False,
}
"""What these are in trials under right masks, and where a record does not say; in a control one of them is another."""

LOWER_IS_BETTER = ("distractor_mass",)
"""Localisation metrics of which less is better; all in [0, 1]. Records hold what was measured, and the analysis turns
these round (analysis/trials/scores.py). Of all other metrics more is better."""

MIRROR_STAMP = "mirror_stamp"
"""Tag of a sweep's MLflow run that takes a new value before and after each change of a trial's run."""


def hyperparameter(name: str) -> str:
    """`hp.<name>`: a hyperparameter that has no column of its own."""
    return f"{HYPERPARAMETER_PREFIX}{name}"


def setting(name: str) -> str:
    """The column of a trial's setting, whether it has one of its own or is a hyperparameter."""
    return name if name in IDENTITY else hyperparameter(name)


def performance(split: str, measure: str) -> str:
    """`<split>.auc`, `<split>.accuracy` or `<split>.loss`."""
    return f"{split}.{measure}"


def localisation(split: str, metric: str, attribution: str) -> str:
    """`<split>.<metric>.<attribution>`, for example `test_ood.iou.integrated_gradients`."""
    return f"{split}.{metric}.{attribution}"


def chance_iou(split: str) -> str:
    """`<split>.chance_iou`: the IoU of a random region of the mask's area, p / (2 − p)."""
    return f"{split}.chance_iou"


def faithfulness(split: str, measure: str, attribution: str) -> str:
    """`<split>.faithfulness.<measure>.<attribution>`: a covariate of localisation scores, and none of them."""
    return f"{split}.faithfulness.{measure}.{attribution}"


def attribution_time(attribution: str) -> str:
    """`attribution_seconds.<attribution>`: its part of `attribution_seconds`, for the maps alone."""
    return f"attribution_seconds.{attribution}"


def map_size(attribution: str) -> str:
    """`map_size.<attribution>`: pixels of the shorter side of its maps before they are enlarged, where they are."""
    return f"map_size.{attribution}"


def randomisation(measure: str, attribution: str) -> str:
    """`randomisation.<measure>.<attribution>`: trained against random weights; rank_correlation, ssim or failed."""
    return f"randomisation.{measure}.{attribution}"


def is_run_specific(column: str) -> bool:
    """Whether two runs of one configuration may differ in it; in all other columns they are equal bit for bit."""
    return column in RUN_SPECIFIC or column.startswith(attribution_time(""))


def images(split: str) -> str:
    """`<split>.n`: how many images the split's accuracy is a mean over."""
    return f"{split}.n"


def half(column: str, which: int) -> str:
    """`<column>.half_1` or `<column>.half_2`: the same score on one of two random halves of the split's images."""
    return f"{column}.half_{which}"


def parse_localisation(column: str) -> tuple[str, str, str] | None:
    """(split, metric, attribution) of a localisation column, or None for any other column."""
    parts = column.split(".")
    if len(parts) == 3 and parts[0] in SCORED_SPLITS and not parts[2].startswith("half_"):
        return parts[0], parts[1], parts[2]
    return None


def ordered(names: set[str]) -> list[str]:
    """Column names in the order of a table: identity, hyperparameters, results, times, provenance."""
    hyperparameters = sorted(n for n in names if n.startswith(HYPERPARAMETER_PREFIX))
    scores = [performance(s, m) for s in SPLITS for m in PERFORMANCE]
    known = [*IDENTITY, *hyperparameters, *scores]
    tail = [*TIMES, PLUGINS, *PROVENANCE]
    rest = sorted(names - set(known) - set(tail))
    return [n for n in [*known, *rest, *tail] if n in names]
