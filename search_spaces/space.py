"""Space and Search; and `factorial`, which lays out a balanced design."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from records import Primary, columns

Settings = dict[str, Any]
"""Flat settings of one trial, as `trainables.resolve` takes them."""


@dataclass(frozen=True)
class Tuned:
    """A setting that a search varies from `low` to `high`, both included."""

    setting: str
    low: float
    high: float
    log: bool = False
    """Uniform on a log scale, which needs low > 0."""
    whole: bool = False
    """Only whole numbers."""
    methods: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    """The methods and datasets for which it is tuned; all if empty."""

    def __post_init__(self) -> None:
        message = f"bad range of {self.setting}, from {self.low:g} to {self.high:g}"
        if self.low > self.high:
            raise ValueError(f"{message}: low must not exceed high")
        if self.log and self.low <= 0:
            raise ValueError(f"{message}: a log scale needs low > 0")
        if self.whole and (self.low % 1 or self.high % 1):
            raise ValueError(f"{message}: whole numbers need whole bounds")

    def contains(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and not (self.whole and value % 1)


@dataclass(frozen=True)
class Search:
    """How the settings of one method on one dataset and severity are tuned on validation data."""

    tuned: tuple[Tuned, ...]
    trials: int
    """Per study, failed ones included."""
    seed: int
    startup: int = 5
    """The number of random trials at the start of a study."""
    trials_on: Mapping[str, int] = field(default_factory=dict)
    """Overrides `trials` by dataset."""

    def of(self, method: str, dataset: str) -> tuple[Tuned, ...]:
        """The settings tuned for this method on this dataset."""
        return tuple(
            t for t in self.tuned if method in (t.methods or (method,)) and dataset in (t.datasets or (dataset,))
        )


@dataclass(frozen=True)
class Space:
    """A named set of trials.

    Each seed of `trials` runs as a whole before the next; within a seed the driver deals them so that any prefix spans
    severities and methods. In a space with a `search` they are the studies: the settings shared by all trials of each.
    """

    name: str
    description: str
    trials: Sequence[Settings]
    """An iterator becomes a tuple."""
    primary: Primary = field(default_factory=Primary)
    comparisons: Sequence[str] = columns.COMPARISONS
    """What varies between the models that the analysis compares; their intervals hold jointly."""
    search: Search | None = None
    on_request: Mapping[str, Sequence[Settings]] = field(default_factory=dict)
    """By dataset, the trials that `--dataset` selects instead of `trials`; for images that not everybody has."""
    larger: str = ""
    """A space with more trials of the same kind, which the end of a sweep suggests."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "trials", tuple(self.trials))
        if not self.comparisons or not set(self.comparisons) <= set(columns.COMPARISONS):
            raise ValueError(f"bad comparisons {self.comparisons!r}; give some of {', '.join(columns.COMPARISONS)}")


def factorial(
    seeds: Sequence[int],
    datasets: Sequence[str],
    severities: Sequence[float],
    strengths: Mapping[str, Sequence[float]],
    method_settings: Mapping[str, Settings] | None = None,
    selections: Sequence[str] = (),
    trainings: int = 1,
    **others: Sequence[Any],
) -> list[Settings]:
    """Every combination of the given levels, seeds outermost, then severities, datasets and methods.

    Each of `seeds` is a data seed, the unit of independence in the analysis: all methods share its images. Its first
    training has the same number as seed, each further one a number that no other data seed has. An effect of a training
    seed on all methods thus stays within one data seed, whose trials the analysis takes together. All data seeds have
    their first training before any has its second.

    Args:
        seeds: numbers >= 0.
        datasets: names of datasets.
        severities: in [0, 1].
        strengths: the levels of each method; only 0 for a method without a penalty.
        method_settings: fixed settings of single methods.
        selections: selection rules, each of which scores every training; empty for the default rule.
        trainings: training seeds per data seed.
        others: levels of further settings, e.g. lr=(1e-3, 1e-2).
    """
    if selections:
        # Innermost, so that a prefix of the trials splits at most one training.
        others = {**others, "selection": selections}
    apart = max(seeds) + 1
    return [
        {
            "dataset": dataset,
            "severity": severity,
            "method": method,
            "strength": strength,
            "seed": data_seed + repeat * apart,
            "data_seed": data_seed,
            **dict(zip(others, values, strict=True)),
            **(method_settings or {}).get(method, {}),
        }
        for repeat, data_seed, severity, dataset in product(range(trainings), seeds, severities, datasets)
        for method, levels in strengths.items()
        for strength, *values in product(levels, *others.values())
    ]
