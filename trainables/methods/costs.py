"""Cost of a training step of each method relative to the baseline's, measured by benchmarks/methods.py."""

import json
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
    """One run of the benchmark, without the costs that later runs replaced."""

    model: str
    date: str
    """ISO 8601."""
    machine: str
    command: str
    costs: dict[str, Cost]
    """By method: the time of a step relative to the baseline's, or that training diverged."""


def read(file: Path = FILE) -> tuple[Measurement, ...]:
    """All measurements in the file."""
    return tuple(Measurement(**measurement) for measurement in json.loads(file.read_text()))


def add(new: Measurement, file: Path = FILE) -> None:
    """Append a measurement to the file, and remove the costs that it repeats from the others."""
    repeated = {(name, new.model) for name in new.costs}
    kept = []
    for old in read(file):
        costs = {name: cost for name, cost in old.costs.items() if (name, old.model) not in repeated}
        kept += [replace(old, costs=costs)] if costs else []
    content = [asdict(measurement) for measurement in (*kept, new)]
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def measured(method: str, model: str) -> Cost | None:
    """The method's cost on the model; None if it was not measured."""
    return _table().get((method, model))


def relative_cost(method: str, model: str) -> float:
    """Time of a training step of `method` on `model` relative to the baseline's, for estimates.

    If not measured, the cost on `STAND_IN`; if not measured there either, the method's own `relative_cost`.
    """
    costs = (measured(method, measured_on) for measured_on in (model, STAND_IN))
    return next((float(cost) for cost in costs if isinstance(cost, int | float)), METHODS[method].relative_cost)


@cache
def _table() -> dict[tuple[str, str], Cost]:
    return {(name, one.model): cost for one in read() for name, cost in one.costs.items()}
