"""Simulate sweeps in blocks, one file each, so that a run continues where the last one ended; `make calibration`."""

import json
import math
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.progress import track

from benchmarks.calibration.measure import measure, measure_grid
from benchmarks.calibration.page import Results, write_page
from benchmarks.calibration.scenarios import GRID, SCENARIOS
from benchmarks.calibration.sweeps import Scenario
from benchmarks.timing import ROOT

BLOCK = 10
"""Sweeps in a block."""
VERSION = 2
"""Increase it to measure everything again after a change of the methods."""


def main(
    results: Path = ROOT / "calibration",
    page: Path = ROOT / "docs" / "calibration.md",
    sweeps: int | None = None,
    minutes: float | None = None,
    only: str = "",
) -> None:
    """Simulate the missing blocks of at most `sweeps` sweeps of each scenario, and write the page's tables.

    `only` chooses scenarios whose name contains a text. A run that ends after some `minutes` is continued by the next.
    """
    results.mkdir(parents=True, exist_ok=True)
    scenarios = [scenario for scenario in (*SCENARIOS, *GRID) if only in scenario.name]
    missing = [(s, b) for s, b in _blocks(scenarios, sweeps) if _read(results, s, b) is None]
    end = math.inf if minutes is None else time.monotonic() + 60 * minutes
    for scenario, block in track(missing, "blocks"):
        if time.monotonic() > end:
            break
        _write(results, scenario, block)
    write_page(page, _all(results, SCENARIOS), _all(results, GRID))
    print(f"Written: {page}")


def _all(folder: Path, scenarios: Sequence[Scenario]) -> Results:
    measured: Results = {scenario: [] for scenario in scenarios}
    for scenario, block in _blocks(scenarios, None):
        measured[scenario] += _read(folder, scenario, block) or []
    return measured


def _blocks(scenarios: Sequence[Scenario], sweeps: int | None) -> Iterator[tuple[Scenario, int]]:
    """Block by block, all scenarios in turn, so that a stopped run has results for each."""
    wanted = {s: -(-min(s.sweeps, sweeps or s.sweeps) // BLOCK) for s in scenarios}
    for block in range(max(wanted.values(), default=0)):
        yield from ((s, block) for s in scenarios if block < wanted[s])


def _file(folder: Path, scenario: Scenario, block: int) -> Path:
    return folder / f"{zlib.crc32(scenario.name.encode()):08x}-{block:03}.json"


def _write(folder: Path, scenario: Scenario, block: int) -> None:
    work, path = measure_grid if scenario in GRID else measure, _file(folder, scenario, block)
    measured = [work(scenario, number) for number in range(block * BLOCK, (block + 1) * BLOCK)]
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps({"scenario": asdict(scenario), "version": VERSION, "sweeps": measured}))
    unfinished.rename(path)


def _read(folder: Path, scenario: Scenario, block: int) -> list[dict[str, Any]] | None:
    """The sweeps in a block's file; None if it is absent, broken, or of another scenario or version."""
    try:
        content = json.loads(_file(folder, scenario, block).read_text())
    except (OSError, json.JSONDecodeError):
        return None
    same = content.get("scenario") == json.loads(json.dumps(asdict(scenario))) and content.get("version") == VERSION
    return content["sweeps"] if same else None


if __name__ == "__main__":
    typer.run(main)
