"""sweep.json: what a sweep declared before its first trial, and the commands that ran since."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from records import columns
from records.parsing import first_problem, parse_json

Fixed = Mapping[str, Mapping[str, str | bool | int | float | None]]
"""By dataset: columns of the configuration and their values; None for a column that no trial of the command has."""


@dataclass(frozen=True)
class Primary:
    """The localisation score and the outcome that the verdict is about, declared before the sweep runs."""

    __pydantic_config__ = ConfigDict(extra="forbid")

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

    __pydantic_config__ = ConfigDict(extra="forbid")

    sampler: str
    optuna: str
    """The version of the library."""
    seed: int
    startup: int
    settings: Mapping[str, tuple[float, float]]
    """The lowest and highest value of each tuned setting."""


@dataclass(frozen=True)
class Looks:
    """The looks of a sweep that runs until it is answered, each at a number of data seeds."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    planned: tuple[int, ...]
    """Data seeds at each look; the last look has all of them."""
    taken: int = 0
    """Number of looks that were taken."""
    end: Literal["answered", "futile", "complete"] | None = None
    """Why the sweep ended at the latest of them."""

    def __post_init__(self) -> None:
        ascending = all(a < b for a, b in pairwise((0, *self.planned)))
        if not self.planned or not ascending or not 0 <= self.taken <= len(self.planned):
            raise ValueError("bad looks: give ascending numbers of data seeds, and of these looks the number taken")

    def __str__(self) -> str:
        seeds = f"{self.planned[self.taken - 1]} of {self.planned[-1]} data seeds"
        return f"look {self.taken} of {len(self.planned)}, with {seeds}"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of sweep.json. What it does not say is None or empty; it then declares all comparisons."""

    space: str | None = None
    primary: Primary | None = None
    comparisons: tuple[str, ...] = columns.COMPARISONS
    planned_trials: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    commands: tuple[str, ...] = ()
    """Each command that trained, the latest last."""
    keep_weights: str | None = None
    """"all" if any command kept all weights."""
    fixed: Fixed = field(default_factory=dict)
    """What the latest command on each dataset did not vary; the analysis leaves out trials with other values."""
    search: DeclaredSearch | None = None
    looks: Looks | None = None
    deleted: str | None = None
    """The time at which a deletion of the sweep began."""
    others: Mapping[str, Any] = field(default_factory=dict)
    """Entries that this version does not know; they are kept."""

    def __post_init__(self) -> None:
        if not self.comparisons or not set(self.comparisons) <= set(columns.COMPARISONS):
            raise ValueError(f"bad comparisons {[*self.comparisons]}: give some of {', '.join(columns.COMPARISONS)}")
        in_order = tuple(name for name in columns.COMPARISONS if name in self.comparisons)
        object.__setattr__(self, "comparisons", in_order)

    def latest_command(self) -> tuple[str | None, bool]:
        """The latest command that trained, without its --max-trials, and whether it had one that left out trials."""
        latest = self.commands[-1] if self.commands else ""
        whole = re.sub(r" --max-trials \d+", "", latest)
        return whole or None, whole != latest

    def to_json(self) -> str:
        entries = asdict(self)
        entries |= entries.pop("others")
        return json.dumps({k: v for k, v in entries.items() if v not in (None, (), {})}, indent=1, allow_nan=False)


def parse_manifest(data: bytes, place: str) -> Manifest:
    """The manifest in the file `place`. Raises ValueError if it is not a JSON object or an entry has a wrong type."""
    try:
        entries = parse_json(data)
    except ValueError as error:
        raise ValueError(f"{place} is not JSON ({error}); correct or remove it") from None
    if not isinstance(entries, dict):
        raise ValueError(f"{place} holds no JSON object; correct or remove it")
    names = {part.name for part in fields(Manifest)}
    others = {name: entries.pop(name) for name in list(entries) if name not in names}
    try:
        manifest: Manifest = TypeAdapter(Manifest).validate_python({**entries, "others": others})
        # What cannot be written again, such as 1e999, is refused on reading.
        manifest.to_json()
        return manifest
    except ValidationError as error:
        problem = error.errors()[0]
        if "ctx" in problem and "error" in problem["ctx"]:
            raise ValueError(f"{place}: {problem['ctx']['error']!s:.300}, or remove the entry") from None
        entry, value, message = first_problem(error)
        if problem["loc"][:-1] == ("primary",):
            message = f"give strings for some of {', '.join(part.name for part in fields(Primary))}"
        raise ValueError(f"bad {entry}{value} in {place}: {message}, or remove the entry") from None
    except ValueError as error:
        raise ValueError(f"{place}: {error}; correct or remove it") from None
