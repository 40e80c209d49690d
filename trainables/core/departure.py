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
    """The departures of each method or dataset of a CSV file, whose first column has names separated by spaces."""
    departures: dict[str, tuple[Departure, ...]] = defaultdict(tuple)
    with file.open(newline="", encoding="utf-8") as rows:
        for names, source, here, way_back in list(csv.reader(rows))[1:]:
            for name in names.split():
                departures[name] += (Departure(source, here, way_back),)
    return departures
