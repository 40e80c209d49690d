"""The tables of docs/calibration.md."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.answer.verdict import LABELS, WORDS
from analysis.numbers import number
from benchmarks.calibration.measure import NAMED
from benchmarks.calibration.sweeps import Scenario

Results = dict[Scenario, list[dict[str, Any]]]
"""The results of each sweep, by scenario."""

MARKS = {name: (f"<!-- {name}: begin -->", f"<!-- {name}: end -->") for name in ("comparisons", "grid")}
"""The marks around the page's tables."""
LEVEL = 0.05
"""Accepted share of intervals that miss the truth, and of wrong answers."""
INTERVALS = ("95 %", "jointly", "new method")
HEADINGS = ("scenario", "comparison", "true ρ", "estimate", *INTERVALS, *WORDS, NAMED, "wrong", "sweeps")
GRID_HEADINGS = ("scenario", "true ρ", "estimate", "jackknife", "Fisher z", "permutation", "sweeps")


def write_page(path: Path, comparisons: Results, grid: Results) -> None:
    """Replace the tables between the marks of the page."""
    rows = [
        [scenario.name if position == 0 else "", label, *_row([sweep[name] for sweep in sweeps])]
        for scenario, sweeps in comparisons.items()
        for position, (name, label) in enumerate(LABELS.items() if sweeps else ())
    ]
    grid_rows = [[scenario.name, *_grid_row(sweeps)] for scenario, sweeps in grid.items() if sweeps]
    text = path.read_text()
    for name, table in (("comparisons", _table(HEADINGS, rows)), ("grid", _table(GRID_HEADINGS, grid_rows))):
        begin, end = MARKS[name]
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{table}{end}{after}"
    path.write_text(text)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (headings, ["---"] * len(headings), *rows))


def _grid_row(sweeps: Sequence[dict[str, Any]]) -> list[str]:
    means = [_mean(sweeps, name) for name in ("truth", "estimate")]
    shares = [_share(sweeps, name) for name in ("jackknife", "fisher", "rejected")]
    return [*means, *shares, str(len(sweeps))]


def _row(sweeps: Sequence[dict[str, Any]]) -> list[str]:
    said = [sweep["said"] for sweep in sweeps]
    counts = [(100 * said.count(word) / len(said)) for word in (*WORDS, NAMED)]
    return [
        *(_mean(sweeps, name) for name in ("truth", "estimate")),
        *(_share(sweeps, name) for name in ("covered", "covered_jointly", "predicted")),
        *(f"{count:.0f}" if count else "" for count in counts),
        _share(sweeps, "wrong"),
        str(len(sweeps)),
    ]


def _known(sweeps: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [float(s[name]) for s in sweeps if s[name] is not None and not math.isnan(s[name])]


def _mean(sweeps: Sequence[dict[str, Any]], name: str) -> str:
    known = _known(sweeps, name)
    return number(float(np.mean(known))) if known else "–"


def _share(sweeps: Sequence[dict[str, Any]], name: str) -> str:
    """In percent; bold if intervals or answers are wrong more often than LEVEL and two standard errors of chance."""
    known = _known(sweeps, name)
    if not known:
        return "–"
    share = float(np.mean(known))
    wrong = {"wrong": share, "rejected": 0.0}.get(name, 1 - share)
    text = f"{100 * share:.0f}"
    return f"**{text}**" if wrong > LEVEL + 2 * math.sqrt(LEVEL * (1 - LEVEL) / len(known)) else text
