"""Cost of a training step of each method relative to the baseline's, measured by benchmarks/methods.py."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from trainables.methods import METHODS

FILE = Path(__file__).with_name("costs.json")
"""Written by `python -m benchmarks.methods --write`."""
STAND_IN = "small_cnn"
"""Its costs are used for models on which a method was not measured."""

Cost = float | Literal["diverges"]


@dataclass(frozen=True)
class Measurement:
    """One run of the benchmark, less the costs that later runs replaced."""

    model: str
    date: str
    """ISO 8601."""
    machine: str
    command: str
    costs: dict[str, Cost]
    """By method: the time of a step relative to the baseline's, or that training diverged."""


def read(file: Path) -> tuple[Measurement, ...]:
    """All measurements in the file."""
    return tuple(Measurement(**measurement) for measurement in json.loads(file.read_text()))


def write(measurements: Iterable[Measurement], file: Path) -> None:
    """Replace the file's content by these measurements."""
    content = [asdict(measurement) for measurement in measurements]
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def replaced(old: Iterable[Measurement], new: Measurement) -> tuple[Measurement, ...]:
    """The old measurements without the costs that `new` repeats, followed by `new`."""
    kept = [
        replace(one, costs={name: cost for name, cost in one.costs.items() if name not in new.costs})
        if one.model == new.model
        else one
        for one in old
    ]
    return (*(one for one in kept if one.costs), new)


def measured(method: str, model: str) -> Cost | None:
    """The method's cost on the model; None if it was not measured."""
    return _table().get((method, model))


def relative_cost(method: str, model: str) -> float:
    """Time of a training step of `method` on `model` relative to the baseline's, for estimates.

    If not measured, the cost on `STAND_IN`; if not measured there either, the method's own `relative_cost`.
    """
    for measured_on in (model, STAND_IN):
        cost = measured(method, measured_on)
        if isinstance(cost, int | float):
            return float(cost)
    return METHODS[method].relative_cost


@cache
def _table() -> dict[tuple[str, str], Cost]:
    return {(name, one.model): cost for one in read(FILE) for name, cost in one.costs.items()}
