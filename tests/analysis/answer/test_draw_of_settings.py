"""How far the draw of settings moves a cell, given validation AUC: by configuration, and by levels in common."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.answer.cells import CellValues, Data
from analysis.answer.given_id import _of_cell
from analysis.stats.cluster_bootstrap import draw_resamples
from benchmarks.calibration.sweeps import CONTROL, OUTCOME, SCORE


def sweep(additive):
    """One cell: 4 strengths × 3 learning rates × 6 data seeds."""
    rng = np.random.default_rng(0)
    strength, rate, data_seed = (axis.ravel() for axis in np.indices((4, 3, 6)))
    table = pd.DataFrame({"dataset": "d", "severity": 1.0, "method": "m", "strength": strength.astype(float)})
    table["hp.lr"], table["seed"], table["data_seed"] = 10.0**-rate, data_seed, data_seed
    for name in (SCORE, OUTCOME):
        effect = rng.normal(size=4)[strength] + rng.normal(size=3)[rate] if additive else rng.normal(size=72)
        table[name] = 0.5 + 0.05 * effect + 0.01 * rng.normal(size=72)
    table[CONTROL] = 0.9 + 0.01 * rng.normal(size=72)
    return table


def variance(table, levels):
    """The jackknife over levels of Fisher's z of the partial rank correlation, step by step."""

    def z(part):
        x, y, a = (stats.rankdata(part[name]) for name in (SCORE, OUTCOME, CONTROL))
        rest = [ranks - np.polyval(np.polyfit(a / len(a), ranks, 3), a / len(a)) for ranks in (x, y)]
        return np.arctanh(stats.pearsonr(*rest).statistic)

    deleted = np.array([z(table[levels != level]) for level in levels.unique()])
    return (len(deleted) - 1) / len(deleted) * ((deleted - deleted.mean()) ** 2).sum()


def _values(data):
    """The only cell's value, images left as they are."""
    value = _of_cell(data, data, ("d", 1.0, "m"), data.table[CONTROL].to_numpy())
    return CellValues((value,), fisher=True, left_out={})


@pytest.mark.parametrize("additive", [True, False])
def test_variances_by_strength_and_rate_add_up(additive):
    table = sweep(additive)
    by_configuration = variance(table, table["strength"].astype(str) + table["hp.lr"].astype(str))
    ways = variance(table, table["strength"]) + variance(table, table["hp.lr"]) - by_configuration
    data = Data(table, SCORE, OUTCOME, draw_resamples(table, replicates=1, seed=0), 0)
    ((drawn, df),) = _values(data).fixed
    assert (drawn, df) == (pytest.approx(max(by_configuration, ways)), 11)
    if additive:
        assert ways > 2 * by_configuration


def test_settings_on_one_axis_are_the_configurations():
    table = sweep(additive=True)
    table["hp.lr"] = 0.1
    table["seed"] = np.arange(len(table))
    data = Data(table, SCORE, OUTCOME, draw_resamples(table, replicates=1, seed=0), 0)
    by_strength = variance(table, table["strength"])
    assert _values(data).fixed == [(pytest.approx(by_strength), 3)]
