"""The analysis of a simulated sweep, compared with the truth: each comparison's value with infinitely many seeds."""

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.answer.answer import comparisons_of
from analysis.answer.cells import MINIMUM_UNITS, SMALLEST_SPREAD
from analysis.answer.correlations import within_cells
from analysis.answer.verdict import SMALLEST_EFFECT
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.stats.rank_correlation import CLIP, Floats, fisher_interval
from analysis.stats.without_each import rank_correlation_without_each
from analysis.trials.exclusions import trials_from_table
from analysis.trials.trials import Primary
from benchmarks.calibration.sweeps import OUTCOME, SCORE, Cell, Scenario, draw_cells, draw_table, draw_trials

NAMED = "named"
"""The result if an unmet requirement is named in place of an answer."""
PERMUTATIONS = 999
MANY = 1000
"""Data seeds of the large simulation."""


@dataclass(frozen=True)
class Truth:
    """The true value of one comparison."""

    value: float
    """NaN if there is nothing to compare."""
    low: float
    high: float
    """Mean of the cells' true values minus and plus two of their standard deviations."""
    differ: bool
    """Whether the cells' distributions differ; the true values of few settings from one distribution also differ."""
    opposite: bool = False
    """Whether cells have opposite signs by design, so that no average describes them."""
    new_method: float = math.nan
    """The true value of a newly drawn method with new settings."""

    def right(self, smallest_effect: float) -> tuple[str, ...]:
        """The answers that are not wrong."""
        if math.isnan(self.value):
            return ("undecided",)
        words = ["undecided"]
        if self.differ and self.low < 0 < self.high and max(-self.low, self.high) > smallest_effect:
            words.append("it depends")
        if not self.opposite:
            words.append("no" if abs(self.value) <= smallest_effect else "yes" if self.value > 0 else "reverse")
        return tuple(words)


def spearman_of_normal(rho: float | Floats) -> Floats:
    """Spearman's rho of a bivariate normal distribution, 6/π asin(rho/2) (Pearson, 1907; Kruskal, JASA 53, 1958)."""
    return np.asarray(6 / np.pi * np.arcsin(np.asarray(rho) / 2))


def truths(scenario: Scenario, cells: Sequence[Cell], rng: np.random.Generator) -> dict[str, Truth]:
    """The truth of each comparison over the strata with a shift."""
    shifted = [cell for cell in cells if cell.severity > 0]
    new = [cell for cell in draw_cells(scenario, rng, names=["new"]) if cell.severity > 0]
    result = {}
    for name, (law, value) in _PARTS.items():
        (mean, low, high), (new_method, _, _) = (
            _summary([value(scenario, cell, rng) for cell in drawn], fisher=name != "setting")
            for drawn in (shifted, new)
        )
        differ = len({round(float(law(scenario, cell)), 6) for cell in shifted}) > 1
        result[name] = Truth(mean, low, high, differ, opposite=scenario.opposite != "", new_method=new_method)
    signs = np.ones(len({(cell.dataset, cell.severity) for cell in shifted}))
    opposite = scenario.opposite == "strata"
    if opposite:
        signs[1::2] = -1
    by_stratum = spearman_of_normal(scenario.method) * signs
    mean, low, high = _summary([(rho, 1.0) for rho in by_stratum], fisher=False)
    result["method"] = Truth(mean, low, high, differ=opposite, opposite=opposite)
    return result


def _summary(values: Sequence[tuple[float, float]], fisher: bool) -> tuple[float, float, float]:
    """The mean of the known values by their weights, as in `analysis.answer.cells.CellValues`, and the plain mean minus
    and plus two standard deviations, as correlations."""
    rho, weight = np.asarray(values, dtype=np.float64).reshape(-1, 2).T
    known = np.isfinite(rho)
    if not known.any():
        return math.nan, math.nan, math.nan
    cells = np.arctanh(np.clip(rho[known], -CLIP, CLIP)) if fisher else rho[known]
    bounds = cells.mean() + 2 * cells.std() * np.array([-1, 1])
    summary = (np.average(cells, weights=weight[known]), *bounds)
    mean, low, high = (math.tanh(z) if fisher else float(np.clip(z, -1, 1)) for z in summary)
    return mean, low, high


def _cuts_off(scenario: Scenario) -> bool:
    return scenario.floor > 0 or scenario.ceiling < 1


def _many_trials(scenario: Scenario, cell: Cell, rng: np.random.Generator) -> Floats:
    """[3, settings, MANY] scores of a cell's trials with independent seeds."""
    return draw_trials(replace(scenario, training_seeds=1), cell, rng, MANY)[..., 0]


def _seeds(scenario: Scenario, cell: Cell, rng: np.random.Generator) -> tuple[float, float]:
    """(Spearman's rho within a configuration, weight); if outcomes are cut off, for the configurations that vary."""
    weight = cell.kept * scenario.data_seeds[cell.dataset] * scenario.training_seeds - 3
    if not _cuts_off(scenario):
        return float(spearman_of_normal(cell.seed)), weight * cell.effects.shape[1]
    x, y, _ = _many_trials(scenario, cell, rng)
    varies = y.std(axis=1) >= SMALLEST_SPREAD
    if not varies.any():
        return math.nan, math.nan
    rho = [stats.spearmanr(a, b).statistic for a, b in zip(x[varies], y[varies], strict=True)]
    return float(np.tanh(np.arctanh(rho).mean())), weight * len(rho)


def _settings(scenario: Scenario, cell: Cell, rng: np.random.Generator) -> tuple[float, float]:
    """Spearman's rho of the drawn effects of settings; a floor or ceiling keeps the order of expected scores."""
    if cell.effects.shape[1] < MINIMUM_UNITS or scenario.sizes[1] < SMALLEST_SPREAD:
        return math.nan, math.nan
    if _cuts_off(scenario) and _many_trials(scenario, cell, rng)[1].mean(axis=1).std(ddof=1) < SMALLEST_SPREAD:
        return math.nan, math.nan
    return float(stats.spearmanr(*cell.effects).statistic), cell.effects.shape[1] - 1.0


def _law_given_id(scenario: Scenario, cell: Cell) -> float:
    """For seeds and settings together: both have the same correlations with validation AUC, see `sweeps.related`."""
    if scenario.mediated:
        return 0.0
    rho = float(np.average([cell.seed, cell.setting], weights=np.square(scenario.sizes[:2])))
    return float(spearman_of_normal(0.75 * rho / math.sqrt((1 - rho**2 / 4) * 0.75)))


def _given_id(scenario: Scenario, cell: Cell, rng: np.random.Generator) -> tuple[float, float]:
    """The result of a large simulation of the same settings."""
    scores = _many_trials(scenario, cell, rng).reshape(3, -1)
    if scores[1].std() < SMALLEST_SPREAD:
        return math.nan, math.nan
    n = cell.kept * scenario.data_seeds[cell.dataset] * scenario.training_seeds * cell.effects.shape[1]
    one_cluster = np.zeros(scores.shape[1], dtype=np.intp)
    part = rank_correlation_without_each(scores[0], scores[1], one_cluster, control=scores[2])
    return float(part.rho[0]), n - 4.0


_PARTS: dict[str, tuple[Callable[[Scenario, Cell], Any], Callable[..., tuple[float, float]]]] = {
    "seed": (lambda _, cell: spearman_of_normal(cell.seed), _seeds),
    "setting": (lambda _, cell: spearman_of_normal(cell.setting), _settings),
    "given_id": (_law_given_id, _given_id),
}


def measure(scenario: Scenario, number: int) -> dict[str, dict[str, Any]]:
    """Each comparison of the scenario's sweep of this number."""
    table, true = _simulate(scenario, number)
    trials = trials_from_table(table, sweep=scenario.name, source="a simulated sweep")
    resamples = draw_resamples(trials.table, replicates=1, seed=number)
    measured = {}
    for result in comparisons_of(trials, Primary(), resamples, smallest_effect=SMALLEST_EFFECT, seed=number):
        truth = true[result.comparison]
        said = NAMED if result.reason is not None else result.answer
        measured[result.comparison] = {
            "truth": truth.value,
            "estimate": result.estimate,
            "said": said,
            "wrong": said not in (NAMED, *truth.right(SMALLEST_EFFECT)),
            "covered": is_within(truth.value, result.ci_low, result.ci_high),
            "covered_jointly": is_within(truth.value, result.joint_low, result.joint_high),
            "predicted": is_within(truth.new_method, result.prediction_low, result.prediction_high),
            "reason": result.reason,
        }
    return measured


def measure_grid(scenario: Scenario, number: int) -> dict[str, Any]:
    """The correlation within all cells, as in the report's grid, of the scenario's sweep of this number."""
    table, true = _simulate(scenario, number)
    truth = true["seed"].value
    resamples = draw_resamples(table, replicates=PERMUTATIONS, seed=number)
    entry = within_cells(table, SCORE, OUTCOME, resamples, seed=number)
    low, high, _ = fisher_interval(entry.estimate or 0.0, entry.weight or 1.0, "spearman")
    return {
        "truth": truth,
        "estimate": entry.estimate,
        "jackknife": is_within(truth, entry.ci_low, entry.ci_high),
        "fisher": is_within(truth, low, high),
        "rejected": None if entry.p_permutation is None else entry.p_permutation <= 0.05,
    }


def _simulate(scenario: Scenario, number: int) -> tuple[pd.DataFrame, dict[str, Truth]]:
    rng = np.random.default_rng([zlib.crc32(scenario.name.encode()), number])
    cells = draw_cells(scenario, rng)
    return draw_table(scenario, cells, rng), truths(scenario, cells, rng)


def is_within(value: float, low: float | None, high: float | None) -> bool | None:
    """Whether an interval holds the value; None where there is no interval, or no value."""
    return None if low is None or high is None or np.isnan(value) else bool(low <= value <= high)
