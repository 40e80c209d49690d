"""Simulated sweeps whose components are known: methods, settings within a cell, seeds within a configuration."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.stats.rank_correlation import Floats
from analysis.trials.trials import Primary

SCORE, OUTCOME, CONTROL = Primary().column, Primary().outcome, "valid_id.auc"
STEP = 0.37
"""Factor between the map's scores and the outcome's: ranks must not depend on units."""


@dataclass(frozen=True)
class Scenario:
    """One kind of sweep.

    A trial's scores are the sum of a method's effect, a setting's effect in the cell, and a seed's effect in the
    configuration. Each is normal, with its own correlation between map and outcome, in (−1, 1).
    """

    name: str
    seed: float = 0.0
    """Correlation between seeds of a configuration."""
    setting: float = 0.0
    method: float = 0.0
    sizes: tuple[float, float, float] = (0.05, 0.06, 0.08)
    """Standard deviation of the outcome, in AUC, by seeds, settings and methods."""
    data_seeds: tuple[int, ...] = (10,)
    """Number for each dataset."""
    training_seeds: int = 1
    methods: int = 6
    severities: tuple[float, ...] = (0.8, 1.0)
    settings: int = 6
    """Number per cell: strengths × two learning rates; an odd number has one learning rate."""
    shared: float = 0.0
    """Share of the seeds' variance that a data seed contributes to all cells."""
    shared_training: float = 0.0
    """Share that a training seed contributes to all cells."""
    opposite: str = ""
    """"methods" or "strata", every second of which has correlations of the opposite sign."""
    spread: float = 0.0
    """Standard deviation of Fisher's z of the methods' correlations between seeds and between settings."""
    mediated: bool = False
    """Whether maps are related to performance only through validation AUC."""
    u_shaped: bool = False
    """Whether maps and performance share only that both rise with the distance of validation AUC from its mean."""
    images: float = math.nan
    """Correlation of the effects that data seeds share, if another one than that of seeds."""
    by_severity: tuple[float, ...] = ()
    """Factor of Fisher's z of the correlations at each severity."""
    bimodal: float = 0.0
    """Distance of the two modes of the outcome, in AUC."""
    additive: bool = False
    """Whether a setting's effect is the sum of the effects of its strength and its learning rate."""
    floor: float = 0.0
    """Lowest outcome, in AUC; the mean is 0.75."""
    ceiling: float = 1.0
    unequal: bool = False
    """Whether cells have from 4 to twice as many settings, and every second cell half of the trials."""
    dominant: bool = False
    """Whether one cell has five times as many settings and the given correlations, and the others have none."""
    copies: bool = False
    """Whether each data seed's rows are repeated under a second one."""
    has_data_seed: bool = True
    halved: bool = False
    """Whether the words of the first half of the data seeds are compared with those of all."""
    sweeps: int = 100


@dataclass(frozen=True)
class Cell:
    """A cell's expected scores, its correlations between seeds and settings, and the share of trials with a record."""

    dataset: int
    severity: float
    method: str
    means: Floats
    """[3, settings] expected score, outcome and validation AUC before floor and ceiling."""
    effects: Floats
    """[2, settings] effects of the settings on score and outcome."""
    seed: float
    setting: float
    kept: float


def related(parts: Floats, rho: float, mediated: bool) -> Floats:
    """[3, …] score, outcome and validation AUC from three independent standard normal parts.

    Score and outcome have the correlation rho. Validation AUC has .5 with the outcome, and is related to the score
    only through the outcome. If mediated, both depend equally on validation AUC and have nothing else in common.
    """
    a, b, c = parts
    if mediated:
        r, rest = math.sqrt(abs(rho)), math.sqrt(1 - abs(rho))
        return np.stack([math.copysign(r, rho) * a + rest * b, r * a + rest * c, a])
    return np.stack([rho * a + math.sqrt(1 - rho**2) * b, a, 0.5 * a + math.sqrt(0.75) * c])


def u_shaped(parts: Floats) -> Floats:
    """[3, …] score, outcome and validation AUC; score and outcome have in common only the square of validation AUC."""
    a, b, c = parts
    common = 0.8 * (a**2 - 1) / math.sqrt(2)
    return np.stack([common + 0.6 * b, common + 0.6 * c, a])


def draw_cells(scenario: Scenario, rng: np.random.Generator, names: Sequence[str] | None = None) -> list[Cell]:
    """The cells of a sweep, or of other methods of the same kind, given by name."""
    names = names or [f"method {i}" for i in range(scenario.methods)]
    shifts = rng.normal(size=len(names)) * scenario.spread
    common = related(rng.normal(size=(3, len(names))), scenario.method, False)
    cells = []
    strata = [(d, s) for d in range(len(scenario.data_seeds)) for s in scenario.severities]
    for stratum, (dataset, severity) in enumerate(strata):
        sign = -1 if scenario.opposite == "strata" and stratum % 2 else 1
        # Seven tenths of the methods' variance are common to the strata.
        part = related(rng.normal(size=(3, len(names))), scenario.method, False)
        by_method = scenario.sizes[2] * (math.sqrt(0.7) * common + math.sqrt(0.3) * part)
        by_method[0] *= sign
        for i, name in enumerate(names):
            number = stratum * len(names) + i
            turned = -sign if scenario.opposite == "methods" and i % 2 else sign
            turned *= not scenario.dominant or number == 0
            factor = scenario.by_severity[scenario.severities.index(severity)] if scenario.by_severity else 1.0
            seed, setting = (
                turned * math.tanh(factor * math.atanh(r) + shifts[i]) for r in (scenario.seed, scenario.setting)
            )
            n = int(rng.integers(4, 2 * scenario.settings + 1)) if scenario.unequal else scenario.settings
            n *= 5 if scenario.dominant and number == 0 else 1
            effects = scenario.sizes[1] * draw_settings(scenario, rng, setting, n)
            means = np.asarray([[0.4], [0.75], [0.9]]) + by_method[:, i, None] + effects
            kept = 0.5 if scenario.unequal and number % 2 else 1.0
            cells.append(Cell(dataset, severity, name, means, effects[:2], seed, setting, kept))
    return cells


def draw_settings(scenario: Scenario, rng: np.random.Generator, rho: float, n: int) -> Floats:
    """[3, n] effects relative to their mean, which belongs to the method."""
    if scenario.additive and n % 2 == 0:
        strength = related(rng.normal(size=(3, n // 2)), rho, scenario.mediated)
        rate = related(rng.normal(size=(3, 2)), rho, scenario.mediated)
        parts = (np.repeat(strength, 2, axis=1) + np.tile(rate, n // 2)) / math.sqrt(2)
    else:
        parts = related(rng.normal(size=(3, n)), rho, scenario.mediated)
    return parts - parts.mean(axis=1, keepdims=True) if n > 1 else np.zeros_like(parts)


def draw_trials(
    scenario: Scenario, cell: Cell, rng: np.random.Generator, n_data_seeds: int, common: Floats | None = None
) -> Floats:
    """[3, settings, data seeds, training seeds] score, outcome and validation AUC of a cell's trials.

    `common` are the [3, data seeds, training seeds] effects of data seeds and training seeds that all cells share.
    """
    parts = rng.normal(size=(*cell.means.shape, n_data_seeds, scenario.training_seeds))
    of_images: Floats | float = 0.0
    if common is not None:
        parts = math.sqrt(1 - scenario.shared - scenario.shared_training) * parts
        if math.isnan(scenario.images):
            parts += common[:, None]
        else:
            of_images = related(common, scenario.images, False)[:, None]
    parts = u_shaped(parts) if scenario.u_shaped else related(parts, cell.seed, scenario.mediated)
    scores = cell.means[:, :, None, None] + scenario.sizes[0] * (parts + of_images)
    if scenario.bimodal:
        middle = scores[1] - cell.means[1].mean()
        scores[1] = 0.75 + scenario.bimodal * np.sign(middle) / 2 + 0.2 * middle
    scores[1] = np.clip(scores[1], scenario.floor, scenario.ceiling)
    scores[0] = 0.4 + STEP * (scores[0] - 0.4)
    return scores


def draw_table(scenario: Scenario, cells: Sequence[Cell], rng: np.random.Generator) -> pd.DataFrame:
    """The sweep's table of trials."""
    tables, common = [], []
    for n in scenario.data_seeds:
        by_data_seed = math.sqrt(scenario.shared) * rng.normal(size=(3, n, 1))
        by_training_seed = math.sqrt(scenario.shared_training) * rng.normal(size=(3, 1, scenario.training_seeds))
        common.append(by_data_seed + by_training_seed)
    for cell in cells:
        scores = draw_trials(scenario, cell, rng, scenario.data_seeds[cell.dataset], common[cell.dataset])
        setting, data_seed, training_seed = (axis.ravel() for axis in np.indices(scores.shape[1:]))
        rates = 2 if scores.shape[1] % 2 == 0 else 1
        columns = {
            "dataset": f"dataset {cell.dataset}",
            "severity": cell.severity,
            "method": cell.method,
            "strength": 10.0 ** (setting // rates - 2),
            "hp.lr": 10.0 ** (-3.0 - setting % rates),
            "seed": training_seed + data_seed * (scenario.training_seeds == 1),
            "data_seed": data_seed,
            **dict(zip((SCORE, OUTCOME, CONTROL), scores.reshape(3, -1), strict=True)),
        }
        tables.append(pd.DataFrame(columns)[rng.random(setting.size) < cell.kept])
    table = pd.concat(tables, ignore_index=True)
    if scenario.copies:
        copied = table.assign(data_seed=table["data_seed"] + max(scenario.data_seeds))
        copied["seed"] += max(scenario.data_seeds)
        table = pd.concat([table, copied], ignore_index=True)
    return table if scenario.has_data_seed else table.drop(columns="data_seed")
