"""What a training step of each method costs relative to the baseline's, as benchmarks/methods.py measured it."""

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
"""The model whose costs stand in for those of a model for which a method was not measured."""

Cost = float | Literal["diverges"]


@dataclass(frozen=True)
class Measurement:
    """One run of the benchmark, as far as no later one replaced it."""

    model: str
    date: str
    """ISO 8601."""
    machine: str
    command: str
    costs: dict[str, Cost]
    """By method: the time of a step relative to the baseline's, or that training ended with numbers not finite."""


def read(file: Path) -> tuple[Measurement, ...]:
    """All measurements in the file."""
    return tuple(Measurement(**measurement) for measurement in json.loads(file.read_text()))


def write(measurements: Iterable[Measurement], file: Path) -> None:
    """Put these into the file, and nothing else."""
    content = [asdict(measurement) for measurement in measurements]
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def replaced(old: Iterable[Measurement], new: Measurement) -> tuple[Measurement, ...]:
    """The old measurements without what `new` measured again, and `new`."""
    kept = [
        replace(one, costs={name: cost for name, cost in one.costs.items() if name not in new.costs})
        if one.model == new.model
        else one
        for one in old
    ]
    return (*(one for one in kept if one.costs), new)


def measured(method: str, model: str) -> Cost | None:
    """The method's cost on the model; None where it was not measured."""
    return _table().get((method, model))


def relative_cost(method: str, model: str) -> float:
    """Time of a training step of `method` on `model` relative to the baseline's, for estimates.

    Where it was not measured, that on `STAND_IN`; a method that was measured on neither says its own (`relative_cost`).
    """
    for known in (model, STAND_IN):
        cost = measured(method, known)
        if isinstance(cost, int | float):
            return float(cost)
    return METHODS[method].relative_cost


@cache
def _table() -> dict[tuple[str, str], Cost]:
    return {(name, one.model): cost for one in read(FILE) for name, cost in one.costs.items()}
