"""Simulated tables of trials with a known answer."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis import sections

METHODS = ("baseline", "masked", "actdiff", "rrr")
SCORE = "test_ood.iou.integrated_gradients"


def simulated(
    *,
    rho: float = 0.5,
    seeds: int = 12,
    strengths: tuple[float, ...] = (1.0,),
    datasets: tuple[str, ...] = ("crosses",),
    severities: tuple[float, ...] = (0.0, 1.0),
    methods: tuple[str, ...] = METHODS,
    columns: tuple[str, ...] = (SCORE,),
    step: float = 0.0,
    rng: int = 0,
) -> pd.DataFrame:
    """Trials whose localisation and outcome have the normal correlation `rho` within each cell.

    `step` moves each method's outcome down and its localisation up: pooled, the sign then turns.
    """
    generator = np.random.default_rng(rng)
    axes = ["dataset", "severity", "method", "strength", "seed"]
    trials = list(itertools.product(datasets, severities, methods, strengths, range(seeds)))
    table = pd.DataFrame(trials, columns=axes)
    keys = ["-".join(map(str, trial)).replace("/", "_") for trial in trials]
    table = table.assign(trial_key=keys, status="completed", model="small_cnn", data_seed=table["seed"])
    shared, independent = generator.normal(size=(len(table), 2)).T
    position = step * table["method"].map(methods.index)
    outcome = 0.6 + 0.02 * (rho * shared + (1 - rho**2) ** 0.5 * independent) - position
    table = table.assign(**{"test_id.auc": 0.9, "test_ood.auc": outcome, "test_ood.chance_iou": 0.05})
    return table.assign(**dict.fromkeys(columns, 0.2 + 0.02 * shared + position))


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of a report's time; tests of other things do without them, but for the maps."""
    bare = [s if s.key == "maps" else replace(s, figures=lambda analysis, result: ()) for s in sections.SECTIONS]
    monkeypatch.setattr(sections, "SECTIONS", tuple(bare))


@pytest.fixture(scope="session")
def make_table() -> Callable[..., pd.DataFrame]:
    return simulated
