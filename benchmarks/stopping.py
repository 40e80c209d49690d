"""Measures `sweep.py --until answered`: how often a look gives a wrong word, and how many trials are saved.

    python -m benchmarks.stopping --replay       # the stored sweeps, in the order of their data seeds
    python -m benchmarks.stopping --sweeps 100   # simulated sweeps of benchmarks/calibration, whose truth is known

The simulation takes every look, including those after the sweep would have ended. The share of sweeps with a wrong word
at any look therefore also applies to a user who ignores the end. Trials count as used up to the look that ends it.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from analysis.answer.looks import planned_looks
from analysis.answer.stopping import Decision, decide
from analysis.answer.verdict import SMALLEST_EFFECT
from analysis.trials.exclusions import trials_from_table
from analysis.trials.load import load_file
from analysis.trials.trials import Trials
from benchmarks.calibration.measure import truths
from benchmarks.calibration.scenarios import SCENARIOS
from benchmarks.calibration.sweeps import Scenario, draw_cells, draw_table
from benchmarks.timing import ROOT, Results, print_table
from records.manifest import Looks

STORED = ("laptop", "methods", "resnet18")
SIMULATED = (
    "nothing related",
    "all related",
    "at the threshold",
    "two trainings a data seed",
    "as laptop",
)
"""Scenarios with the same data seeds on each dataset: related, unrelated, at the limit, and with a stored design."""
MANY = 12
"""Data seeds of a simulated sweep: looks at 6, 8, 10 and 12."""


def looks_at(trials: Trials) -> Iterator[tuple[int, int, Decision]]:
    """(Data seeds, trials, decision) of each look of a sweep whose trials are all there."""
    data_seeds = list(dict.fromkeys(trials.table.sort_values("data_seed", kind="stable")["data_seed"]))
    planned = planned_looks(len(data_seeds))
    for number, n in enumerate(planned, start=1):
        table = trials.table[trials.table["data_seed"].isin(data_seeds[:n])].reset_index(drop=True)
        yield n, len(table), decide(replace(trials, table=table, looks=Looks(planned, number)))


def replay(name: str, folder: Path) -> pd.DataFrame:
    """Each look of a stored sweep, up to that at which it would have ended."""
    trials, rows = load_file(folder / name / "trials.parquet"), []
    for n, n_trials, decision in looks_at(trials):
        words = {one.comparison: one.answer for one in decision.comparisons}
        saved = f"{len(trials.table) - n_trials:,} of {len(trials.table):,}"
        rows.append({"sweep": name, "data seeds": n, "trials": n_trials, **words, "end": decision.end, "saved": saved})
        if decision.end is not None:
            break
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Simulated:
    """One simulated sweep."""

    used: float
    """Share of its trials up to the look at which it would have ended."""
    end: str
    wrong_then: bool
    """Whether a word is wrong at that look."""
    wrong_ever: bool
    """Whether a word is wrong at any look."""
    missed: bool
    """Whether the sweep ended as one that its plan cannot decide, and its whole plan decides more."""


def simulate(scenario: Scenario, number: int) -> Simulated:
    """The looks of the scenario's sweep of this number."""
    rng = np.random.default_rng([zlib.crc32(scenario.name.encode()), number])
    cells = draw_cells(scenario, rng)
    table, true = draw_table(scenario, cells, rng), truths(scenario, cells, rng)
    right = {name: truth.right(SMALLEST_EFFECT)[0] for name, truth in true.items()}
    wrong, decided, used, ended = [], [], 1.0, ""
    for _, n_trials, decision in looks_at(trials_from_table(table, sweep=scenario.name, source="a simulated sweep")):
        said = {one.comparison: one.answer for one in decision.comparisons if one.reason is None}
        wrong.append(any(word not in ("undecided", right[name]) for name, word in said.items()))
        decided.append(sum(word != "undecided" for word in said.values()))
        if not ended and decision.end is not None:
            used, ended, look = n_trials / len(table), decision.end, len(wrong) - 1
    return Simulated(used, ended, wrong[look], any(wrong), decided[look] < decided[-1])


def summary(name: str, sweeps: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A row of the table: shares in percent."""
    table = pd.DataFrame(sweeps)
    ends = {end: 100 * (table["end"] == end).mean() for end in ("answered", "futile", "complete")}
    shares = {"missed": "missed", "wrong at the end": "wrong_then", "at any look": "wrong_ever"}
    return {
        "scenario": name,
        "trials used": 100 * table["used"].mean(),
        **ends,
        **{shown: 100 * table[name].mean() for shown, name in shares.items()},
        "sweeps": len(table),
    }


def main(
    sweeps: Annotated[int, typer.Option(min=0, help="Simulated sweeps of each scenario.")] = 0,
    replayed: Annotated[bool, typer.Option("--replay", help="Replay the stored sweeps.")] = False,
    only: Annotated[str, typer.Option(help="Only scenarios whose name contains this.")] = "",
    results: Annotated[Path, typer.Option(help="File of the simulated sweeps, which a later run continues.")] = ROOT
    / "stopping.jsonl",
    folder: Annotated[Path, typer.Option(help="Folder of the stored sweeps.")] = ROOT / "docs" / "results",
) -> None:
    """Print the looks of the stored sweeps, and the errors and the trials of simulated ones."""
    if replayed:
        print_table(pd.concat([replay(name, folder) for name in STORED], ignore_index=True))
    measured = Results(results)
    chosen = [replace(s, data_seeds=(MANY,) * len(s.data_seeds)) for s in SCENARIOS if s.name in SIMULATED]
    chosen = [scenario for scenario in chosen if only in scenario.name]
    keys = {(s, i): f"{s}, {i}" for i in range(sweeps) for s in chosen}
    for (scenario, i), key in keys.items():
        if key not in measured:
            measured[key] = vars(simulate(scenario, i))
    if keys:
        rows = [summary(s.name, [measured[keys[s, i]] for i in range(sweeps)]) for s in chosen]
        print_table(pd.DataFrame(rows).set_index("scenario"), digits=0)


if __name__ == "__main__":
    typer.run(main)
