"""Simulated tables of trials with a known answer."""

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
    rows = []
    for dataset in datasets:
        for severity in severities:
            for position, method in enumerate(methods):
                for strength in strengths:
                    for seed in range(seeds):
                        shared, own = generator.normal(size=2)
                        row = {
                            "trial_key": f"{dataset.replace('/', '_')}-{severity}-{method}-{strength}-{seed}",
                            "status": "completed",
                            "dataset": dataset,
                            "severity": severity,
                            "method": method,
                            "strength": strength,
                            "model": "small_cnn",
                            "seed": seed,
                            "data_seed": seed,
                            "test_id.auc": 0.9,
                            "test_ood.auc": 0.6 + 0.02 * (rho * shared + (1 - rho**2) ** 0.5 * own) - step * position,
                            "test_ood.chance_iou": 0.05,
                        }
                        for column in columns:
                            row[column] = 0.2 + 0.02 * shared + step * position
                        rows.append(row)
    return pd.DataFrame(rows)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of a report's time; tests of other things do without them, but for the maps."""
    bare = [s if s.key == "maps" else replace(s, figures=lambda analysis, result: ()) for s in sections.SECTIONS]
    monkeypatch.setattr(sections, "SECTIONS", tuple(bare))


@pytest.fixture(scope="session")
def make_table() -> Callable[..., pd.DataFrame]:
    return simulated
