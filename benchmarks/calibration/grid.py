"""The report's grid of correlations: how many intervals within cells hold the truth."""

import zlib
from typing import Any

import numpy as np

from analysis.answer.correlations import within_cells
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.stats.rank_correlation import fisher_interval
from benchmarks.calibration.measure import is_within
from benchmarks.calibration.sweeps import OUTCOME, SCORE, Scenario, draw_cells, draw_table
from benchmarks.calibration.truth import truths

REPLICATES = 999
"""Permutations of each sweep."""
_DESIGN: dict[str, Any] = {"settings": 1, "methods": 5, "data_seeds": (20,)}
GRID = (
    Scenario("independent trials", **_DESIGN),
    Scenario("data seeds shared by half", **_DESIGN, shared=0.5),
    Scenario("data seeds shared by nine tenths", **_DESIGN, shared=0.9),
    Scenario("ρ = .5, data seeds shared by half", **_DESIGN, seed=0.5176, shared=0.5),
    Scenario("ρ = .5, 10 data seeds shared by half", **_DESIGN | {"data_seeds": (10,)}, seed=0.5176, shared=0.5),
    Scenario("ρ = .5, 6 data seeds shared by half", **_DESIGN | {"data_seeds": (6,)}, seed=0.5176, shared=0.5),
    Scenario("two trainings of 10 data seeds", **_DESIGN | {"data_seeds": (10,)}, training_seeds=2, shared=0.5),
    Scenario("ρ = .5, two trainings", **_DESIGN | {"data_seeds": (10,)}, training_seeds=2, seed=0.5176, shared=0.5),
)


def measure_grid(scenario: Scenario, number: int) -> dict[str, Any]:
    """The correlation within all cells of the scenario's sweep of this number."""
    rng = np.random.default_rng([zlib.crc32(scenario.name.encode()), number])
    cells = draw_cells(scenario, rng)
    table = draw_table(scenario, cells, rng)
    true = truths(scenario, cells, rng)["seed"].value
    resamples = draw_resamples(table, replicates=REPLICATES, seed=number)
    entry = within_cells(table, SCORE, OUTCOME, resamples, seed=number)
    low, high, _ = fisher_interval(entry.estimate or 0.0, entry.weight or 1.0, "spearman")
    return {
        "truth": true,
        "estimate": entry.estimate,
        "jackknife": is_within(true, entry.ci_low, entry.ci_high),
        "fisher": is_within(true, low, high),
        "rejected": None if entry.p_permutation is None else entry.p_permutation <= 0.05,
    }
