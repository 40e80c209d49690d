"""The order in which trials run, chosen so that any first part of a sweep spans its severities and methods."""

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from search_spaces import Settings

SHARED_TRAINING = {"selection", "preset"}
"""Trials that differ in these alone may share a training, and stay together."""


def deal(trials: Iterable[Settings]) -> list[list[Settings]]:
    """The trials of each seed, in the order of the seeds, reordered within the seed.

    A seed begins with one trial of every cell (dataset, severity, method), in an order that goes through severities,
    datasets and methods at once. The other trials of each cell (strengths, learning rates, …) follow, evenly spread.
    The largest severity is first, then the smallest, then the next on either side.
    """
    seeds: dict[str, dict[tuple[str, float, str], list[list[Settings]]]] = {}
    for settings in trials:
        cells = seeds.setdefault(repr((settings.get("data_seed"), settings.get("seed"))), {})
        severity = settings.get("severity")
        # Settings are checked later, so a severity may be no number.
        number = float(severity) if isinstance(severity, int | float) else -1.0
        cell = cells.setdefault((str(settings["dataset"]), number, str(settings["method"])), [])
        last = cell[-1][0] if cell else {}
        differing = {name for name in last.keys() | settings if last.get(name) != settings.get(name)}
        if cell and differing <= SHARED_TRAINING:
            cell[-1].append(settings)
        else:
            cell.append([settings])
    return [_within_seed(cells) for cells in seeds.values()]


def _within_seed(cells: dict[tuple[str, float, str], list[list[Settings]]]) -> list[Settings]:
    datasets, severities, methods = (list(dict.fromkeys(levels)) for levels in zip(*cells, strict=True))
    strata = diagonal(_from_both_ends(sorted(severities, reverse=True)), datasets)
    order = [(dataset, severity, method) for (severity, dataset), method in diagonal(strata, methods)]
    places = []
    for number, name in enumerate(cell for cell in order if cell in cells):
        cell = cells[name]
        # Strata start at different settings, so that the first trials do not all have the weakest strength.
        start = strata.index((name[1], name[0])) % len(cell)
        turns = enumerate([*cell[start:], *cell[:start]])
        places += [(turn / len(cell), number, trials) for turn, trials in turns]
    return list(chain.from_iterable(trials for *_, trials in sorted(places, key=lambda place: place[:2])))


def diagonal(first: Sequence[Any], second: Sequence[Any]) -> list[tuple[Any, Any]]:
    """All pairs, in an order that steps through both sequences at once."""
    n, m = len(first), len(second)
    return [(first[(i + i // math.lcm(n, m)) % n], second[i % m]) for i in range(n * m)]


def _from_both_ends(levels: Sequence[Any]) -> list[Any]:
    return [levels[i // 2 if i % 2 == 0 else -(i // 2) - 1] for i in range(len(levels))]
