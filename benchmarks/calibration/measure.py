"""The analysis of a simulated sweep, compared with the truth: the value for infinitely many seeds and settings."""

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.answer.answer import comparisons_of
from analysis.answer.cells import MINIMUM_UNITS, SMALLEST_SPREAD
from analysis.answer.combine import Comparison
from analysis.answer.correlations import within_cells
from analysis.answer.verdict import SMALLEST_EFFECT
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.stats.rank_correlation import CLIP, Floats, fisher_interval
from analysis.trials.exclusions import trials_from_table
from analysis.trials.trials import Primary
from benchmarks.calibration.sweeps import (
    OUTCOME,
    SCORE,
    Cell,
    Scenario,
    draw_cells,
    draw_settings,
    draw_table,
    draw_trials,
)

NAMED = "named"
"""The result if an unmet requirement is named in place of an answer."""
PERMUTATIONS = 999
MANY = 1000
"""Data seeds, or settings, of the large simulation."""


@dataclass(frozen=True)
class Truth:
    """The true value of one comparison."""

    value: float
    """NaN if there is nothing to compare."""
    signs: frozenset[float]
    """Signs of the cells' expected values."""
    new_method: float = math.nan
    """The true value of a newly drawn method with new settings."""

    def right(self, smallest_effect: float) -> tuple[str, str]:
        """The word of the average, and the word of the signs, that are right."""
        if math.isnan(self.value):
            return "undecided", "too few to say"
        answer = "no" if abs(self.value) <= smallest_effect else "yes" if self.value > 0 else "reverse"
        both, one = {-1.0, 1.0} <= self.signs, len(self.signs - {0.0}) == len(self.signs) == 1
        return answer, "signs differ" if both else "same sign" if one else "too few to say"


def spearman_of_normal(rho: float | Floats) -> Floats:
    """Spearman's rho of a bivariate normal distribution, 6/π asin(rho/2) (Pearson, 1907; Kruskal, JASA 53, 1958)."""
    return np.asarray(6 / np.pi * np.arcsin(np.asarray(rho) / 2))


def truths(scenario: Scenario, cells: Sequence[Cell], rng: np.random.Generator) -> dict[str, Truth]:
    """The truth of each comparison over the strata with a shift."""
    shifted = [cell for cell in cells if cell.severity > 0]
    new = [cell for cell in draw_cells(scenario, rng, names=["new"]) if cell.severity > 0]
    result = {}
    for name, (law, value) in _PARTS.items():
        mean, new_method = (
            _mean([value(scenario, cell, rng) for cell in drawn], fisher=name != "setting") for drawn in (shifted, new)
        )
        signs = frozenset(float(np.sign(round(float(law(scenario, cell)), 6))) for cell in shifted)
        result[name] = Truth(mean, signs, new_method)
    strata = sorted({(cell.dataset, cell.severity) for cell in shifted})
    turned = [-1.0 if scenario.opposite == "strata" and i % 2 else 1.0 for i in range(len(strata))]
    by_stratum = float(spearman_of_normal(scenario.method)) * np.asarray(turned)
    result["method"] = Truth(_mean([(rho, 1.0) for rho in by_stratum], fisher=False), frozenset(np.sign(by_stratum)))
    return result


def _mean(values: Sequence[tuple[float, float]], fisher: bool) -> float:
    """The mean of the known values by their weights, as in `analysis.answer.cells.CellValues`."""
    rho, weight = np.asarray(values, dtype=np.float64).reshape(-1, 2).T
    known = np.isfinite(rho)
    if not known.any():
        return math.nan
    cells = np.arctanh(np.clip(rho[known], -CLIP, CLIP)) if fisher else rho[known]
    mean = float(np.average(cells, weights=weight[known]))
    return math.tanh(mean) if fisher else mean


def _cuts_off(scenario: Scenario) -> bool:
    return scenario.floor > 0 or scenario.ceiling < 1 or scenario.bimodal > 0 or scenario.u_shaped


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
    """Expected rho of as many newly drawn settings; a floor or ceiling keeps the order of expected scores."""
    if cell.effects.shape[1] < MINIMUM_UNITS or scenario.sizes[1] < SMALLEST_SPREAD:
        return math.nan, math.nan
    if _cuts_off(scenario) and _many_trials(scenario, cell, rng)[1].mean(axis=1).std(ddof=1) < SMALLEST_SPREAD:
        return math.nan, math.nan
    return _expected(scenario, cell.setting, cell.effects.shape[1]), cell.effects.shape[1] - 1.0


@cache
def _expected(scenario: Scenario, rho: float, n: int) -> float:
    """Expected rho of n settings (Moran, Biometrika 35, 1948); simulated where strengths and rates add up."""
    if not scenario.additive:
        return 6 / (math.pi * (n + 1)) * (math.asin(rho) + (n - 2) * math.asin(rho / 2))
    rng = np.random.default_rng(0)
    draws = (draw_settings(scenario, rng, rho, n)[:2] for _ in range(MANY))
    return float(np.mean([stats.spearmanr(*effects).statistic for effects in draws]))


def _law_given_id(scenario: Scenario, cell: Cell) -> float:
    """For seeds and settings together: both have the same correlations with validation AUC, see `sweeps.related`."""
    if scenario.mediated or scenario.u_shaped:
        return 0.0
    rho = float(np.average([cell.seed, cell.setting], weights=np.square(scenario.sizes[:2])))
    return float(spearman_of_normal(0.75 * rho / math.sqrt((1 - rho**2 / 4) * 0.75)))


def _given_id(scenario: Scenario, cell: Cell, rng: np.random.Generator) -> tuple[float, float]:
    """Rho of a normal law with the concordance of pairs matched in validation AUC, of many new settings and seeds."""
    if cell.effects.shape[1] > 1:
        settings = draw_settings(replace(scenario, additive=False), rng, cell.setting, MANY)
        many = replace(cell, means=cell.means.mean(axis=1, keepdims=True) + scenario.sizes[1] * settings)
        scores = draw_trials(replace(scenario, training_seeds=1), many, rng, 6).reshape(3, -1)
    else:
        scores = _many_trials(scenario, cell, rng).reshape(3, -1)
    if scores[1].std() < SMALLEST_SPREAD:
        return math.nan, math.nan
    n = cell.kept * scenario.data_seeds[cell.dataset] * scenario.training_seeds * cell.effects.shape[1]
    x, y, _ = scores[:, np.argsort(scores[2])]
    matched = [np.sign((x[d:] - x[:-d]) * (y[d:] - y[:-d])).mean() for d in range(1, 6)]
    return float(spearman_of_normal(np.sin(np.pi / 2 * np.mean(matched)))), n - 4.0


_PARTS: dict[str, tuple[Callable[[Scenario, Cell], Any], Callable[..., tuple[float, float]]]] = {
    "seed": (lambda _, cell: spearman_of_normal(cell.seed), _seeds),
    "setting": (lambda _, cell: spearman_of_normal(cell.setting), _settings),
    "given_id": (_law_given_id, _given_id),
}


def measure(scenario: Scenario, number: int) -> dict[str, dict[str, Any]]:
    """Each comparison of the scenario's sweep of this number."""
    table, true = _simulate(scenario, number)
    measured = {}
    for result in _compare(scenario, table, number):
        truth = true[result.comparison]
        said = NAMED if result.reason is not None else result.answer
        right, general = truth.right(SMALLEST_EFFECT)
        can_err = said != NAMED
        measured[result.comparison] = {
            "truth": truth.value,
            "estimate": result.estimate,
            "said": said,
            "wrong": said not in (NAMED, "undecided", right),
            "signs": result.generality if can_err else None,
            "signs_wrong": result.generality not in ("too few to say", general) if can_err else None,
            "covered": is_within(truth.value, result.ci_low, result.ci_high),
            "covered_jointly": is_within(truth.value, result.joint_low, result.joint_high),
            "predicted": is_within(truth.new_method, result.prediction_low, result.prediction_high),
            "reason": result.reason,
        }
    if scenario.halved:
        half = table[table["data_seed"] < min(scenario.data_seeds) // 2]
        for result in _compare(scenario, half, number):
            measured[result.comparison]["half"] = result.answer
    return measured


def _compare(scenario: Scenario, table: pd.DataFrame, number: int) -> tuple[Comparison, ...]:
    trials = trials_from_table(table, sweep=scenario.name, source="a simulated sweep")
    resamples = draw_resamples(trials.table, replicates=1, seed=number)
    return comparisons_of(trials, Primary(), resamples, smallest_effect=SMALLEST_EFFECT, seed=number)


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
