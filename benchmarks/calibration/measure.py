"""What the analysis says of one simulated sweep, held against the truth."""

import zlib
from typing import Any

import numpy as np

from analysis.answer.answer import comparisons_of
from analysis.answer.combine import Comparison
from analysis.answer.verdict import SMALLEST_EFFECT
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.trials.exclusions import trials_from_table
from analysis.trials.trials import Primary
from benchmarks.calibration.sweeps import Scenario, draw_cells, draw_table
from benchmarks.calibration.truth import Truth, truths

NAMED = "named"
"""Said where a requirement that is not met is named in place of an answer."""


def measure(scenario: Scenario, number: int) -> dict[str, dict[str, Any]]:
    """Each comparison of the scenario's sweep of this number."""
    rng = np.random.default_rng([zlib.crc32(scenario.name.encode()), number])
    cells = draw_cells(scenario, rng)
    table = draw_table(scenario, cells, rng)
    true = truths(scenario, cells, rng)
    trials = trials_from_table(table, sweep=scenario.name, source="a simulated sweep")
    resamples = draw_resamples(trials.table, replicates=1, seed=number)
    results = comparisons_of(trials, Primary(), resamples, smallest_effect=SMALLEST_EFFECT, seed=number)
    return {result.comparison: _against(result, true[result.comparison]) for result in results}


def _against(result: Comparison, true: Truth) -> dict[str, Any]:
    said = NAMED if result.reason is not None else result.answer
    return {
        "truth": true.value,
        "estimate": result.estimate,
        "said": said,
        "wrong": said not in (NAMED, *true.right(SMALLEST_EFFECT)),
        "covered": is_within(true.value, result.ci_low, result.ci_high),
        "covered_jointly": is_within(true.value, result.joint_low, result.joint_high),
        "predicted": is_within(true.new_method, result.prediction_low, result.prediction_high),
        "reason": result.reason,
    }


def is_within(value: float, low: float | None, high: float | None) -> bool | None:
    """Whether an interval holds the value; None where there is no interval, or no value."""
    return None if low is None or high is None or np.isnan(value) else bool(low <= value <= high)
