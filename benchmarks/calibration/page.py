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
HEADINGS = (
    "scenario",
    "comparison",
    "true ρ",
    "estimate",
    "95 %",
    "jointly",
    "new method",
    *WORDS,
    NAMED,
    "wrong",
    "sweeps",
)


GRID_HEADINGS = (
    "scenario",
    "true ρ",
    "estimate",
    "jackknife",
    "Fisher z",
    "permutation",
    "sweeps",
)


def write_page(path: Path, comparisons: Results, grid: Results) -> None:
    """Replace the tables between the marks of the page."""
    rows = []
    for scenario, sweeps in comparisons.items():
        for position, comparison in enumerate(LABELS if sweeps else ()):
            name = scenario.name if position == 0 else ""
            rows.append(_row(name, LABELS[comparison], [sweep[comparison] for sweep in sweeps]))
    of_grid = [_grid_row(scenario.name, sweeps) for scenario, sweeps in grid.items() if sweeps]
    text = path.read_text()
    for name, table in (("comparisons", _table(HEADINGS, rows)), ("grid", _table(GRID_HEADINGS, of_grid))):
        begin, end = MARKS[name]
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{table}{end}{after}"
    path.write_text(text)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (headings, ["---"] * len(headings), *rows))


def _grid_row(scenario: str, sweeps: Sequence[dict[str, Any]]) -> list[str]:
    rejected = _known(sweeps, "rejected")
    return [
        scenario,
        _mean(sweeps, "truth"),
        _mean(sweeps, "estimate"),
        *(_coverage(sweeps, name) for name in ("jackknife", "fisher")),
        f"{100 * float(np.mean(rejected)):.0f}" if rejected else "–",
        str(len(sweeps)),
    ]


def _row(scenario: str, comparison: str, sweeps: Sequence[dict[str, Any]]) -> list[str]:
    said = [sweep["said"] for sweep in sweeps]
    return [
        scenario,
        comparison,
        _mean(sweeps, "truth"),
        _mean(sweeps, "estimate"),
        *(_coverage(sweeps, name) for name in ("covered", "covered_jointly", "predicted")),
        *(_share(said, word) for word in (*WORDS, NAMED)),
        _bold_above([sweep["wrong"] for sweep in sweeps]),
        str(len(sweeps)),
    ]


def _known(sweeps: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [float(s[name]) for s in sweeps if s[name] is not None and not math.isnan(s[name])]


def _mean(sweeps: Sequence[dict[str, Any]], name: str) -> str:
    known = _known(sweeps, name)
    return number(float(np.mean(known))) if known else "–"


def _coverage(sweeps: Sequence[dict[str, Any]], name: str) -> str:
    known = _known(sweeps, name)
    if not known:
        return "–"
    share = float(np.mean(known))
    return _bold(share, 1 - share > LEVEL + _slack(len(known)))


def _share(said: Sequence[str], word: str) -> str:
    n = sum(s == word for s in said)
    return f"{100 * n / len(said):.0f}" if n else ""


def _bold_above(wrong: Sequence[bool]) -> str:
    share = float(np.mean(wrong))
    return _bold(share, share > LEVEL + _slack(len(wrong)))


def _bold(share: float, wanted: bool) -> str:
    text = f"{100 * share:.0f}"
    return f"**{text}**" if wanted else text


def _slack(n: int) -> float:
    """Two standard errors of chance."""
    return 2 * math.sqrt(LEVEL * (1 - LEVEL) / n)
