"""sweep.json: what a sweep declared before its first trial, and the commands that ran since."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from records import columns

Fixed = Mapping[str, Mapping[str, Any]]
"""By dataset: columns of the configuration and their values; None for a column that no trial of the command has."""


@dataclass(frozen=True)
class Primary:
    """The localisation score and the outcome that the verdict is about, declared before the sweep runs.

    Raises:
        ValueError: a split without maps, or an outcome that is better the lower it is.
    """

    split: str = "test_ood"
    metric: str = "iou"
    attribution: str = "integrated_gradients"
    outcome: str = "test_ood.auc"

    def __post_init__(self) -> None:
        if self.split not in columns.SCORED_SPLITS:
            allowed = " or ".join(columns.SCORED_SPLITS)
            raise ValueError(f"bad split {self.split!r} of the primary: maps are scored on {allowed}")
        if self.outcome.endswith(".loss"):
            raise ValueError(f"bad outcome {self.outcome!r} of the primary: give one that is better the larger it is")

    def __str__(self) -> str:
        return f"{self.column} against {self.outcome}"

    @property
    def column(self) -> str:
        """The localisation score's column."""
        return columns.localisation(self.split, self.metric, self.attribution)


@dataclass(frozen=True)
class DeclaredSearch:
    """How a sweep searches its settings."""

    sampler: str
    optuna: str
    """The version of the library."""
    seed: int
    startup: int
    settings: Mapping[str, tuple[float, float]]
    """The lowest and highest value of each tuned setting."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of sweep.json. What it does not say is None or empty; it then declares all comparisons."""

    space: str | None = None
    primary: Primary | None = None
    comparisons: tuple[str, ...] = columns.COMPARISONS
    planned_trials: int | None = None
    commands: tuple[str, ...] = ()
    """Each command that trained, the latest last."""
    keep_weights: str | None = None
    """"all" if any command kept all weights."""
    fixed: Fixed = field(default_factory=dict)
    """What the latest command on each dataset did not vary; the analysis leaves out trials with other values."""
    search: DeclaredSearch | None = None
    deleted: str | None = None
    """The time at which a deletion of the sweep began."""
    others: Mapping[str, Any] = field(default_factory=dict)
    """Entries that this version does not know; they are kept."""

    def to_json(self) -> str:
        entries = asdict(self)
        entries |= entries.pop("others")
        return json.dumps({k: v for k, v in entries.items() if v not in (None, (), {})}, indent=1, allow_nan=False)


def parse_manifest(data: bytes, place: str) -> Manifest:
    """The manifest in the file `place`.

    Raises:
        ValueError: the file is not a JSON object, or an entry is not of its kind.
    """
    try:
        entries = json.loads(data)
    except ValueError as error:
        raise ValueError(f"{place} is not JSON ({error}); correct or remove it") from None
    if not isinstance(entries, dict):
        raise ValueError(f"{place} holds no JSON object; correct or remove it")

    def entry(name: str, is_valid: Callable[[Any], bool], allowed: str) -> Any:
        value = entries.pop(name, None)
        if value is not None and not is_valid(value):
            raise ValueError(f"bad {name} {value!r} in {place}: give {allowed}, or remove the entry")
        return value

    keys = [part.name for part in fields(Primary)]
    primary = entry("primary", lambda v: isinstance(v, dict) and set(v) <= set(keys), f"an object of {', '.join(keys)}")
    comparisons = entry(
        "comparisons",
        lambda v: isinstance(v, list) and bool(v) and set(map(str, v)) <= set(columns.COMPARISONS),
        f"a list of some of {', '.join(columns.COMPARISONS)}",
    )
    search = entry(
        "search",
        lambda v: isinstance(v, dict) and set(v) == {part.name for part in fields(DeclaredSearch)},
        "what a search writes",
    )
    try:
        declared_primary = None if primary is None else Primary(**{key: str(value) for key, value in primary.items()})
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    return Manifest(
        space=entry("space", lambda v: isinstance(v, str), "a name"),
        primary=declared_primary,
        comparisons=tuple(name for name in columns.COMPARISONS if comparisons is None or name in comparisons),
        planned_trials=entry("planned_trials", lambda v: isinstance(v, int), "a whole number"),
        commands=tuple(map(str, entry("commands", lambda v: isinstance(v, list), "a list") or ())),
        keep_weights=entry("keep_weights", lambda v: isinstance(v, str), "all"),
        fixed=entry("fixed", _is_object_of_objects, "an object of columns and values for each dataset") or {},
        search=None if search is None else DeclaredSearch(**search),
        deleted=entry("deleted", lambda v: isinstance(v, str), "a time"),
        others=entries,
    )


def _is_object_of_objects(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(item, dict) for item in value.values())
