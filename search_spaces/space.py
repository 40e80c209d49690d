"""What a space is, and how one is laid out as a balanced design."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

Settings = dict[str, Any]
"""Flat settings of one trial, as `trainables.resolve` takes them."""


@dataclass(frozen=True)
class Primary:
    """The one analysis that the verdict rests on, declared before the sweep runs."""

    split: str = "test_ood"
    metric: str = "iou"
    attribution: str = "integrated_gradients"
    outcome: str = "test_ood.auc"

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Tuned:
    """A setting that a search tries values of, from `low` to `high`, both included."""

    setting: str
    low: float
    high: float
    log: bool = False
    """Evenly on a log scale; then low > 0."""
    whole: bool = False
    """Whole numbers alone."""
    methods: tuple[str, ...] = ()
    """Of these methods alone; none named: of all."""
    datasets: tuple[str, ...] = ()
    """On these datasets alone; none named: on all."""

    def __post_init__(self) -> None:
        told = f"bad range of {self.setting}, from {self.low:g} to {self.high:g}"
        if self.low > self.high:
            raise ValueError(f"{told}: low must not lie above high")
        if self.log and self.low <= 0:
            raise ValueError(f"{told}: a log scale needs low > 0")
        if self.whole and (self.low % 1 or self.high % 1):
            raise ValueError(f"{told}: whole numbers need whole bounds")


@dataclass(frozen=True)
class Search:
    """How a study of one method on one dataset, at one severity, looks for settings that do well on validation data."""

    tuned: tuple[Tuned, ...]
    trials: int
    """In each study, those that fail included."""
    seed: int
    startup: int = 5
    """The first so many trials of a study are random; the others look at the results before them."""
    trials_on: Mapping[str, int] = field(default_factory=dict)
    """By dataset, where it is another number than `trials`."""

    def of(self, method: str, dataset: str) -> tuple[Tuned, ...]:
        """What the study of this method on this dataset tunes."""
        return tuple(
            t for t in self.tuned if method in (t.methods or (method,)) and dataset in (t.datasets or (dataset,))
        )


@dataclass(frozen=True)
class Space:
    """A named set of trials.

    `trials` are in the order in which they run, seeds outermost, so that any prefix of whole seeds is balanced. Of a
    space with a `search` they are the studies: the settings that stay the same in all trials of each.
    """

    name: str
    description: str
    trials: Sequence[Settings]
    primary: Primary = Primary()
    search: Search | None = None
    on_request: Mapping[str, Sequence[Settings]] = field(default_factory=dict)
    """By dataset: the trials in place of `trials` where `--dataset` asks for it. For images that not everybody has."""


def factorial(
    seeds: Sequence[int],
    datasets: Sequence[str],
    severities: Sequence[float],
    strengths: Mapping[str, Sequence[float]],
    method_settings: Mapping[str, Settings] | None = None,
    selections: Sequence[str] = (),
    **others: Sequence[Any],
) -> Iterator[Settings]:
    """Every combination of the given levels, seeds outermost, then severities, datasets and methods.

    A seed is both the trial's data seed and its training seed: the data seed is the unit of independence in the
    analysis, and all methods of a seed share its data.

    Args:
        seeds: numbers >= 0.
        datasets: names of datasets.
        severities: in [0, 1].
        strengths: the levels of each method; a method without a penalty has the one level 0.
        method_settings: fixed settings that one method alone has.
        selections: selection rules to score each training by, e.g. ("best_valid_id", "last"); each is a trial of its
            own, at no extra training. None leaves the setting to its default.
        others: levels of further settings, e.g. lr=(1e-3, 1e-2).
    """
    if selections:
        # Innermost: whoever takes the first trials alone then cuts through one training at most.
        others = {**others, "selection": selections}
    for seed, severity, dataset, (method, levels) in product(seeds, severities, datasets, strengths.items()):
        for strength, *values in product(levels, *others.values()):
            yield {
                "dataset": dataset,
                "severity": severity,
                "method": method,
                "strength": strength,
                "seed": seed,
                "data_seed": seed,
                **dict(zip(others, values, strict=True)),
                **(method_settings or {}).get(method, {}),
            }
