"""Simulate sweeps in blocks, and write the tables of docs/calibration.md; `make calibration`.

A run continues where the last one ended.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import typer
from rich.progress import track

from analysis.answer.verdict import LABELS, WORDS
from analysis.numbers import number
from benchmarks.calibration.measure import NAMED, measure, measure_grid
from benchmarks.calibration.scenarios import GRID, SCENARIOS
from benchmarks.calibration.sweeps import Scenario
from benchmarks.timing import ROOT, Results

BLOCK = 10
"""Sweeps in a block."""
VERSION = 4
"""Increase it to measure everything again after a change of the methods."""
LEVEL = 0.05
"""Accepted share of intervals that miss the truth, and of wrong answers."""
MEANS = {"true ρ": "truth", "estimate": "estimate"}
ANSWERS = {word: ("said", word) for word in (*WORDS, NAMED)}
SIGNS = {word: ("signs", word) for word in ("same sign", "signs differ")}
COVERED = {"95 %": "covered", "jointly": "covered_jointly", "new method": "predicted"}
COLUMNS: Mapping[str, str | tuple[str, str]] = {
    **MEANS,
    **COVERED,
    **ANSWERS,
    "wrong": "wrong",
    **SIGNS,
    "wrong signs": "signs_wrong",
}
DECIDED = {"wrong": ("said", ("yes", "no", "reverse")), "signs_wrong": ("signs", tuple(SIGNS))}
"""The words that can be wrong."""
GRID_COLUMNS = {**MEANS, "jackknife": "jackknife", "Fisher z": "fisher", "permutation": "rejected"}
Sweeps = Sequence[Mapping[str, Any]]


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
    measured = Results(results / "blocks.jsonl")
    scenarios = [scenario for scenario in (*SCENARIOS, *GRID) if only in scenario.name]
    missing = [(s, b) for s, b in _blocks(scenarios, sweeps) if _key(s, b) not in measured]
    end = math.inf if minutes is None else time.monotonic() + 60 * minutes
    for scenario, block in track(missing, "blocks"):
        if time.monotonic() > end:
            break
        work, numbers = measure_grid if scenario in GRID else measure, range(block * BLOCK, (block + 1) * BLOCK)
        measured[_key(scenario, block)] = [work(scenario, number) for number in numbers]
    by_name: dict[str, list[Any]] = {scenario.name: [] for scenario in (*SCENARIOS, *GRID)}
    for scenario, block in _blocks((*SCENARIOS, *GRID), None):
        by_name[scenario.name] += measured.get(_key(scenario, block), [])
    write_page(page, *({s.name: by_name[s.name] for s in kind if by_name[s.name]} for kind in (SCENARIOS, GRID)))
    print(f"Written: {page}")


def _blocks(scenarios: Sequence[Scenario], sweeps: int | None) -> Iterator[tuple[Scenario, int]]:
    """Block by block, all scenarios in turn, so that a stopped run has results for each."""
    wanted = {s: -(-min(s.sweeps, sweeps or s.sweeps) // BLOCK) for s in scenarios}
    for block in range(max(wanted.values(), default=0)):
        yield from ((s, block) for s in scenarios if block < wanted[s])


def _key(scenario: Scenario, block: int) -> str:
    """All that a block's results depend on."""
    return f"version {VERSION}, block {block} of {BLOCK} sweeps, {scenario}"


def write_page(path: Path, comparisons: Mapping[str, Sweeps], grid: Mapping[str, Sweeps]) -> None:
    """Replace the tables between the marks of the page by those of the sweeps, by scenario."""
    table, grid_table = [["scenario", "comparison", *COLUMNS, "sweeps"]], [["scenario", *GRID_COLUMNS, "sweeps"]]
    for scenario, sweeps in comparisons.items():
        for name, label in LABELS.items():
            cells = [_cell([sweep[name] for sweep in sweeps], column) for column in COLUMNS.values()]
            table.append(["" if name != next(iter(LABELS)) else scenario, label, *cells, str(len(sweeps))])
    for scenario, sweeps in grid.items():
        cells = [_cell(sweeps, column) for column in GRID_COLUMNS.values()]
        grid_table.append([scenario, *cells, str(len(sweeps))])
    text = path.read_text()
    halves = [["scenario", "comparison", "word changes", "decided word taken back", "sweeps"], *_halves(comparisons)]
    for mark, (head, *rows) in (("comparisons", table), ("halves", halves), ("grid", grid_table)):
        before, begin, rest = text.partition(f"<!-- {mark}: begin -->\n")
        _, end, after = rest.partition(f"<!-- {mark}: end -->")
        lines = "".join(f"| {' | '.join(cells)} |\n" for cells in (head, ["---"] * len(head), *rows))
        text = f"{before}{begin}{lines}{end}{after}"
    path.write_text(text)


def _cell(sweeps: Sweeps, column: str | tuple[str, str]) -> str:
    """A mean; in percent, the share of a word or of the sweeps where `column` is true; or how many words are wrong.

    Bold: more than LEVEL and two standard errors of chance of all sweeps are wrong or miss the truth.
    """
    if isinstance(column, tuple):
        name, word = column
        share = sum(sweep[name] == word for sweep in sweeps) / len(sweeps)
        return f"{100 * share:.0f}" if share else ""
    known = pd.Series([sweep[column] for sweep in sweeps], dtype=float).dropna()
    if known.empty or column in MEANS.values():
        return "–" if known.empty else number(known.mean())
    text, wrong = f"{100 * known.mean():.0f}", 1 - known.mean()
    if column in DECIDED:
        name, words = DECIDED[column]
        decided = sum(sweep[name] in words for sweep in sweeps)
        text, wrong = (f"{known.sum():.0f} of {decided}" if decided else ""), known.mean()
    if column == "rejected":
        wrong = 0.0
    return f"**{text}**" if wrong > LEVEL + 2 * math.sqrt(LEVEL * (1 - LEVEL) / len(known)) else text


def _halves(comparisons: Mapping[str, Sweeps]) -> list[list[str]]:
    """How often a word changes, and a decided word is taken back, between half of the data seeds and all."""
    rows = []
    for scenario, sweeps in comparisons.items():
        for name, label in LABELS.items():
            pairs = [(s[name]["half"], s[name]["said"]) for s in sweeps if "half" in s[name]]
            if pairs:
                changed = sum(half != whole for half, whole in pairs)
                taken_back = sum(half not in (whole, "undecided") for half, whole in pairs)
                rows.append([scenario, label, *map(str, (changed, taken_back, len(pairs)))])
    return rows


if __name__ == "__main__":
    typer.run(main)
