"""The analysis of one simulated sweep, compared with the truth."""

import zlib
from typing import Any

import numpy as np
import pandas as pd

from analysis.answer.answer import comparisons_of
from analysis.answer.correlations import within_cells
from analysis.answer.verdict import SMALLEST_EFFECT
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.stats.rank_correlation import fisher_interval
from analysis.trials.exclusions import trials_from_table
from analysis.trials.trials import Primary
from benchmarks.calibration.sweeps import OUTCOME, SCORE, Scenario, draw_cells, draw_table
from benchmarks.calibration.truth import Truth, truths

NAMED = "named"
"""The result if an unmet requirement is named in place of an answer."""
PERMUTATIONS = 999


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
