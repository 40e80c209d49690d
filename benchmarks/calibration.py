"""Calibration of the answer on simulated sweeps whose truth is known: the source of docs/calibration.md.

Run `make calibration`. Each scenario is simulated in blocks; a block's result is one file in the folder `calibration`,
and a run takes up where the last one ended. What is measured is what a report prints: Spearman's rho within cells by
`analysis.answer.correlations.within_cells` and the verdict by `analysis.answer.verdict.decide`.
"""

import json
import math
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from scipy import stats

from analysis.answer.correlations import within_cells
from analysis.answer.entry import Correlation
from analysis.answer.verdict import SMALLEST_EFFECT, decide
from analysis.numbers import number
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.stats.power import minimal_detectable, minimal_detectable_from_error
from analysis.stats.rank_correlation import fisher_interval
from analysis.trials.trials import Primary

ROOT = Path(__file__).resolve().parent.parent
SCORE, OUTCOME = Primary().column, Primary().outcome
BLOCK = 50
"""Sweeps in a block."""
REPLICATES = 999
"""Bootstrap replicates and permutations of each sweep."""
VERSION = 1
"""Raise it to measure everything again after a change of the methods."""
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
"""Between these the document's tables are replaced."""
HEADINGS = (
    "scenario",
    "methods × severities × data seeds",
    "shared",
    "true ρ",
    "mean estimate",
    "jackknife",
    "BCa",
    "percentile",
    "Fisher z",
    "yes",
    "no",
    "ρ ≠ 0: jackknife",
    "by permutation",
    "by Fisher z",
    "detectable ρ",
    "sweeps",
)


@dataclass(frozen=True)
class Scenario:
    """One kind of simulated sweep. Both scores are normal within a cell before ties and ceilings are made.

    A trial's score is method and severity effect + sqrt(shared) × its data seed's + sqrt(1 − shared) × its own part;
    both parts have the correlation `latent` with those of the outcome.
    """

    name: str
    group: str
    methods: int = 7
    severities: int = 3
    seeds: int = 20
    places: int = 1
    """Strengths, and so trials, of a data seed in a cell."""
    rho: float = 0.0
    """Spearman's rho within cells, before ties, ceilings and strengths."""
    shared: float = 0.0
    """Share of the variance within a cell that a data seed has in common in all cells."""
    simpson: float = 0.0
    """How far methods move the score up and the outcome down, in standard deviations a method."""
    levels: int = 0
    """Different values that scores are rounded to; 0 for none."""
    ceiling: float = 0.0
    """Share of a cell's outcomes that are at a common largest value; one method has all there."""
    unequal: float = 0.0
    """How much rho differs between cells: ± this."""
    uneven: float = 0.0
    """Standard deviation of the logarithm of a data seed's own spread."""
    path: tuple[float, float] = (0.0, 0.0)
    """How far the strengths move score and outcome, in standard deviations from the first to the last."""
    missing: float = 0.0
    """Share of trials without a record, at random."""
    sweeps: int = 1000

    @property
    def design(self) -> str:
        places = f" × {self.places} strengths" if self.places > 1 else ""
        return f"{self.methods} × {self.severities} × {self.seeds}{places}"


def _latent(rho: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's correlation of a bivariate normal law with this Spearman's rho."""
    return np.asarray(2 * np.sin(np.pi * np.asarray(rho) / 6))


def _detectable(n: int) -> float:
    found = minimal_detectable(n)
    if found is None:
        raise ValueError(f"bad weight {n}: above 0")
    return found


SCENARIOS = (
    Scenario("independent", "no correlation"),
    Scenario("shared data seeds", "no correlation", shared=0.5),
    Scenario("nearly one effect a data seed", "no correlation", shared=0.9),
    Scenario("many data seeds", "no correlation", severities=5, seeds=100, shared=0.5, sweeps=500),
    Scenario("data seeds differ in spread", "no correlation", shared=0.5, uneven=0.5),
    Scenario("Simpson: methods oppose", "no correlation", shared=0.5, simpson=3.0),
    Scenario("ties: 5 levels", "no correlation", shared=0.5, levels=5),
    Scenario("ceiling: half the outcomes", "no correlation", shared=0.5, ceiling=0.5),
    Scenario("20 % of trials missing", "no correlation", shared=0.5, missing=0.2),
    Scenario("strengths move the outcome", "no correlation", 3, 2, 20, 5, shared=0.3, path=(0.0, 2.0)),
    Scenario("6 data seeds", "few data seeds", 4, 2, 6, shared=0.5),
    Scenario("6 data seeds, rho", "few data seeds", 4, 2, 6, rho=0.5, shared=0.5),
    Scenario("8 data seeds", "few data seeds", 4, 2, 8, shared=0.5),
    Scenario("8 data seeds, rho", "few data seeds", 4, 2, 8, rho=0.5, shared=0.5),
    Scenario("10 data seeds", "few data seeds", 4, 2, 10, shared=0.5),
    Scenario("10 data seeds, rho", "few data seeds", 4, 2, 10, rho=0.5, shared=0.5),
    Scenario("10 data seeds, 21 cells", "few data seeds", seeds=10, shared=0.9),
    Scenario("at the threshold", "a correlation", rho=0.3, shared=0.5),
    Scenario("at the threshold, independent", "a correlation", rho=0.3),
    Scenario("at the threshold, many", "a correlation", severities=5, seeds=100, rho=0.3, shared=0.5, sweeps=500),
    Scenario("moderate", "a correlation", rho=0.5, shared=0.5),
    Scenario("strong", "a correlation", rho=0.7, shared=0.9, seeds=50),
    Scenario("negative, Simpson", "a correlation", rho=-0.4, shared=0.5, simpson=-3.0),
    Scenario("differs between cells", "a correlation", rho=0.3, unequal=0.3, shared=0.5),
    Scenario("ties: 5 levels, rho", "a correlation", rho=0.5, shared=0.5, levels=5),
    Scenario("ceiling: half the outcomes, rho", "a correlation", rho=0.5, shared=0.5, ceiling=0.5),
    Scenario("strengths move both", "a correlation", 3, 2, 20, 5, shared=0.3, path=(2.0, 2.0)),
    Scenario("power: 1 cell of 20", "power", 1, 1, 20, rho=_detectable(17)),
    Scenario("power: 1 cell of 50", "power", 1, 1, 50, rho=_detectable(47)),
    Scenario("power: 1 cell of 100", "power", 1, 1, 100, rho=_detectable(97)),
    Scenario("power: 21 cells of 20", "power", rho=_detectable(21 * 17)),
    Scenario("power: 21 cells of 20, shared", "power", rho=0.36, shared=0.5),
)


def simulate(scenario: Scenario, rng: np.random.Generator, seeds: int | None = None) -> pd.DataFrame:
    """One sweep's trials."""
    n_seeds = seeds or scenario.seeds
    shape = (scenario.severities, scenario.methods, n_seeds, scenario.places)
    cells = np.arange(scenario.severities * scenario.methods).reshape((*shape[:2], 1, 1))
    latent = _latent(scenario.rho + scenario.unequal * np.where(cells % 2, 1, -1))
    spread = np.exp(scenario.uneven * rng.normal(size=(1, 1, n_seeds, 1)))
    parts = []
    for share, size in ((scenario.shared, (1, 1, n_seeds, 1)), (1 - scenario.shared, shape)):
        own = rng.normal(size=size)
        other = latent * own + np.sqrt(1 - latent**2) * rng.normal(size=size)
        parts.append((math.sqrt(share) * own, math.sqrt(share) * other))
    place = np.linspace(0, 1, scenario.places) if scenario.places > 1 else np.zeros(1)
    x, y = (spread * (a + b) + place * move for a, b, move in zip(*parts, scenario.path, strict=True))
    if scenario.levels:
        x, y = (np.floor(stats.norm.cdf(v) * scenario.levels) for v in (x, y))
    if scenario.ceiling:
        y = np.minimum(y, stats.norm.ppf(1 - scenario.ceiling))
        y[:, 0] = y.max()
    method = np.arange(scenario.methods).reshape(1, -1, 1, 1)
    x, y = x + scenario.simpson * method, y - scenario.simpson * method
    severity, method, data_seed, strength = (axis.ravel() for axis in np.indices(shape))
    frame = pd.DataFrame(
        {
            "dataset": "simulated",
            "severity": severity / scenario.severities,
            "method": np.char.add("method ", method.astype(str)),
            "strength": strength.astype(float),
            "seed": data_seed,
            "data_seed": data_seed,
            SCORE: x.ravel(),
            OUTCOME: y.ravel(),
        }
    )
    if scenario.missing:
        frame = frame[rng.random(len(frame)) >= scenario.missing].reset_index(drop=True)
    return frame


@cache
def truth(scenario: Scenario) -> float:
    """The rho within cells that an endless sweep would have; exact where the law is normal, else from 100,000 seeds."""
    plain = not (scenario.levels or scenario.ceiling or any(scenario.path) or scenario.uneven)
    if plain:
        cells = np.arange(scenario.severities * scenario.methods)
        return math.tanh(float(np.arctanh(scenario.rho + scenario.unequal * np.where(cells % 2, 1, -1)).mean()))
    if scenario.rho == 0 and not all(scenario.path):
        return 0.0
    small = Scenario(**{**asdict(scenario), "severities": 1, "methods": 2, "missing": 0.0, "shared": 0.0})
    frame = simulate(small, np.random.default_rng(0), seeds=100_000)
    part = frame[frame["method"] == "method 1"]
    return float(stats.spearmanr(part[SCORE], part[OUTCOME]).statistic)


def measure(scenario: Scenario, block: int) -> dict[str, Any]:
    """What one block's sweeps say."""
    rng = np.random.default_rng([zlib.crc32(scenario.name.encode()), block])
    true, sweeps = truth(scenario), []
    for place in range(BLOCK):
        frame = simulate(scenario, rng)
        resamples = draw_resamples(frame, replicates=REPLICATES, seed=block * BLOCK + place)
        found = within_cells(frame, SCORE, OUTCOME, resamples, seed=block * BLOCK + place)
        sweeps.append(_outcome(found, true))
    return {"scenario": asdict(scenario), "version": VERSION, "sweeps": sweeps}


def _outcome(found: Correlation, true: float) -> dict[str, Any]:
    def covers(low: float | None, high: float | None) -> bool | None:
        return None if low is None or high is None else bool(low <= true <= high)

    fisher = (None, None, None)
    if found.estimate is not None:
        fisher = fisher_interval(found.estimate, found.weight or 1.0, "spearman")
    error = found.standard_error
    return {
        "estimate": found.estimate,
        "answer": decide(found, Primary(), SMALLEST_EFFECT).answer,
        "jackknife": covers(found.ci_low, found.ci_high),
        "bca": covers(found.bca_low, found.bca_high),
        "percentile": covers(found.percentile_low, found.percentile_high),
        "fisher": covers(*fisher[:2]),
        "rejects": None if found.p_value is None else found.p_value <= 0.05,
        "rejects_by_permutation": None if found.p_permutation is None else found.p_permutation <= 0.05,
        "rejects_by_fisher": None if fisher[2] is None else fisher[2] <= 0.05,
        "detectable": None if error is None else minimal_detectable_from_error(error, found.df),
    }


def _blocks(scenarios: Sequence[Scenario], sweeps: int | None) -> Iterator[tuple[Scenario, int]]:
    """Block by block, all scenarios in turn, so that a run that is stopped has something of each."""
    wanted = {s: -(-(min(s.sweeps, sweeps) if sweeps else s.sweeps) // BLOCK) for s in scenarios}
    for block in range(max(wanted.values())):
        yield from ((s, block) for s in scenarios if block < wanted[s])


def _file(folder: Path, scenario: Scenario, block: int) -> Path:
    return folder / f"{zlib.crc32(scenario.name.encode()):08x}-{block:03}.json"


def _read(path: Path, scenario: Scenario) -> list[dict[str, Any]] | None:
    """The sweeps in a block's file; None where it is absent, broken, or of another scenario or version."""
    try:
        content = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return None
    same = content.get("scenario") == json.loads(json.dumps(asdict(scenario))) and content.get("version") == VERSION
    return content["sweeps"] if same else None


def _share(sweeps: Sequence[Mapping[str, Any]], name: str) -> tuple[float, int]:
    known = [s[name] for s in sweeps if s[name] is not None]
    return (sum(known) / len(known) if known else math.nan), len(known)


def _percent(value: float, low: float | None = None, high: float | None = None, n: int = 0) -> str:
    """ "95.2", bold where it is outside [low, high] by more than chance (two standard errors)."""
    if math.isnan(value):
        return "–"
    text = f"{100 * value:.1f}"
    slack = 2 * math.sqrt(0.05 * 0.95 / n) if n else 0.0
    outside = (low is not None and value < low - slack) or (high is not None and value > high + slack)
    return f"**{text}**" if outside else text


def write_document(path: Path, results: Mapping[Scenario, Sequence[Mapping[str, Any]]]) -> None:
    """The tables of docs/calibration.md from the measured sweeps."""
    rows: dict[str, list[str]] = {}
    for scenario, sweeps in results.items():
        if not sweeps:
            continue
        n = len(sweeps)
        cover = []
        for name in ("jackknife", "bca", "percentile", "fisher"):
            share, known = _share(sweeps, name)
            cover.append(_percent(share, 0.93, 0.97, known))
        estimates = [s["estimate"] for s in sweeps if s["estimate"] is not None]
        answers = [s["answer"] for s in sweeps]
        yes, no = answers.count("yes") / n, answers.count("no") / n
        limit = 0.05 if truth(scenario) <= SMALLEST_EFFECT + 1e-9 else None
        rejects = [_percent(_share(sweeps, k)[0]) for k in ("rejects", "rejects_by_permutation", "rejects_by_fisher")]
        detectable = [s["detectable"] for s in sweeps if s["detectable"] is not None]
        cells = [
            scenario.name,
            scenario.design,
            f"{scenario.shared:g}",
            number(truth(scenario)),
            number(float(np.mean(estimates))),
            *cover,
            _percent(yes, None, limit, n),
            _percent(no),
            *rejects,
            f"{np.median(detectable):.2f}" if detectable else "–",
            str(n),
        ]
        rows.setdefault(scenario.group, []).append("| " + " | ".join(cells) + " |")
    lines = [
        f"### {group.capitalize()}\n\n| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}\n" + "\n".join(found)
        for group, found in rows.items()
    ]
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n" + "\n\n".join(lines) + f"\n{END}{after}")


def main(
    results: Path = ROOT / "calibration",
    document: Path = ROOT / "docs" / "calibration.md",
    sweeps: int | None = None,
    minutes: float | None = None,
    only: str = "",
) -> None:
    """Simulate what is not there yet, and write the document.

    Args:
        results: folder of the blocks.
        document: the page to write.
        sweeps: at most so many of each scenario.
        minutes: stop after so long; the next run goes on.
        only: scenarios whose name holds this text.
    """
    results.mkdir(parents=True, exist_ok=True)
    scenarios = [s for s in SCENARIOS if only in s.name]
    todo = [(s, b) for s, b in _blocks(scenarios, sweeps) if _read(_file(results, s, b), s) is None]
    start = time.monotonic()
    bar = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*bar) as progress:
        task = progress.add_task("blocks", total=len(todo))
        for scenario, block in todo:
            if minutes is not None and time.monotonic() - start > 60 * minutes:
                break
            progress.update(task, description=scenario.name)
            path = _file(results, scenario, block)
            path.with_suffix(".part").write_text(json.dumps(measure(scenario, block)))
            path.with_suffix(".part").rename(path)
            progress.advance(task)
    found: dict[Scenario, list[dict[str, Any]]] = {s: [] for s in SCENARIOS}
    for scenario, block in _blocks(SCENARIOS, None):
        found[scenario] += _read(_file(results, scenario, block), scenario) or []
    write_document(document, found)
    print(f"Written: {document}")


if __name__ == "__main__":
    typer.run(main)
