"""Where a method or a dataset does otherwise than its source."""

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Departure:
    """One difference from the source. docs/methods.md lists them all; Markdown."""

    source: str
    """What the source does, as in "the penalty is a sum"."""
    here: str
    """What is done here, and why."""
    way_back: str
    """The setting under which the source is followed, as in "`preset=paper`"; or why there is none."""


def read_departures(file: Path) -> dict[str, tuple[Departure, ...]]:
    """The departures of each method of a CSV file, whose column `methods` has names separated by spaces."""
    departures: dict[str, tuple[Departure, ...]] = defaultdict(tuple)
    with file.open(newline="", encoding="utf-8") as rows:
        for methods, source, here, way_back in list(csv.reader(rows))[1:]:
            for method in methods.split():
                departures[method] += (Departure(source, here, way_back),)
    return departures
