"""Simulated trials with a given correlation of maps and performance at each layer: seeds, settings, methods."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

SCORE, OUTCOME = "test_ood.iou.integrated_gradients", "test_ood.auc"
STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
METHODS = ("baseline", "masked", "actdiff", "gradmask", "rrr", "cdep")


@dataclass(frozen=True)
class Layer:
    """Normal effects of one choice on score and outcome, with this correlation and these standard deviations."""

    rho: float = 0.0
    score: float = 0.02
    outcome: float = 0.02

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """[n, 2] effects on score and outcome."""
        first, second = rng.normal(size=(2, n))
        return np.stack([first * self.score, (self.rho * first + (1 - self.rho**2) ** 0.5 * second) * self.outcome], 1)


NOTHING = Layer(0.0, 0.0, 0.0)


def layered(
    *,
    seed: Layer = NOTHING,
    data_seed: Layer = NOTHING,
    setting: Layer = NOTHING,
    method: Layer = NOTHING,
    seeds: int = 10,
    strengths: tuple[float, ...] = STRENGTHS,
    methods: tuple[str, ...] = METHODS,
    datasets: tuple[str, ...] = ("crosses",),
    severities: tuple[float, ...] = (1.0,),
    rng: int = 0,
) -> pd.DataFrame:
    """One trial per dataset, severity, method, strength and seed, which is also its data seed.

    Args:
        seed: effects of each trial by itself.
        data_seed: effects that the trials of a (dataset, data seed) share.
        setting: effects of each strength of a method on a dataset, the same at every severity.
        method: effects of each method on a dataset, the same at every severity.
    """
    generator = np.random.default_rng(rng)
    parts = []
    for dataset in datasets:
        of_data_seed, of_method = data_seed.draw(generator, seeds), method.draw(generator, len(methods))
        for name, of_this_method in zip(methods, of_method, strict=True):
            for strength, of_setting in zip(strengths, setting.draw(generator, len(strengths)), strict=True):
                for severity in severities:
                    effects = of_data_seed + of_this_method + of_setting + seed.draw(generator, seeds)
                    cell = {"dataset": dataset, "severity": severity, "method": name, "strength": strength}
                    scores = {SCORE: 0.3 + effects[:, 0], OUTCOME: 0.7 + effects[:, 1]}
                    scores["valid_id.auc"] = 0.9 + 0.02 * generator.normal(size=seeds)
                    rest = {"seed": np.arange(seeds), "data_seed": np.arange(seeds), "model": "small_cnn"}
                    parts.append(pd.DataFrame({"status": "completed", **cell, **rest, **scores}))
    return pd.concat(parts, ignore_index=True)
