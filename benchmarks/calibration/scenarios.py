"""The kinds of sweeps that are simulated."""

from typing import Any

from benchmarks.calibration.sweeps import Scenario

_STRONG: dict[str, Any] = {"seed": 0.7, "setting": 0.8, "method": 0.8}
_HALF: dict[str, Any] = {"seed": 0.5, "setting": 0.6, "method": 0.6}
_LAPTOP: dict[str, Any] = {"seed": 0.28, "setting": 0.65, "method": 0.5, "spread": 0.1, "shared": 0.3}
_LAPTOP |= {"data_seeds": (12, 12), "training_seeds": 2, "methods": 7, "severities": (0.8, 0.9, 1.0), "settings": 8}
AT_THRESHOLD = 0.3129
"""Pearson's correlation of a normal law whose Spearman's rho is 0.3."""

SCENARIOS = (
    Scenario("nothing related", shared=0.5),
    Scenario("all related", **_STRONG, shared=0.3),
    Scenario("settings yes, seeds no", setting=0.9, settings=8),
    Scenario("settings yes, seeds reversed", seed=-0.7, setting=0.8, settings=8, shared=0.3),
    Scenario("settings do nothing, seeds correlate", seed=0.8, sizes=(0.05, 0.0, 0.08), shared=0.3),
    Scenario("settings do little, seeds correlate", seed=0.8, sizes=(0.05, 0.025, 0.08), shared=0.3),
    Scenario("only validation AUC links them", seed=0.7, setting=0.7, mediated=True),
    Scenario("at the threshold", seed=AT_THRESHOLD, setting=0.33, method=AT_THRESHOLD, settings=12, shared=0.3),
    Scenario("two trainings a data seed", **_HALF, training_seeds=2, shared=0.3),
    Scenario("training seeds crossed", **_HALF, data_seeds=(8,), training_seeds=3, shared=0.3),
    Scenario(
        "a training seed shared too", seed=0.5, data_seeds=(8,), training_seeds=3, shared=0.2, shared_training=0.2
    ),
    Scenario("20 and 6 data seeds", **_HALF, data_seeds=(20, 6), severities=(1.0,), shared=0.3),
    Scenario("20 and 6, unrelated", data_seeds=(20, 6), severities=(1.0,), shared=0.5),
    Scenario("3 datasets, 5 methods", **_HALF, data_seeds=(12, 8, 8), methods=5, severities=(1.0,), shared=0.3),
    Scenario("floor", **_HALF, floor=0.72, shared=0.3),
    Scenario("ceiling", **_STRONG, ceiling=0.78, shared=0.3),
    Scenario("cells of unequal size", **_HALF, unequal=True, data_seeds=(16,), shared=0.3),
    Scenario("one dominant cell", seed=0.7, setting=0.9, dominant=True, shared=0.3),
    Scenario("methods of opposite sign", seed=0.7, setting=0.8, opposite="methods", shared=0.3),
    Scenario("strata of opposite sign", **_STRONG, opposite="strata", severities=(0.6, 0.7, 0.8, 1.0), methods=5),
    Scenario("methods differ", seed=0.4, setting=0.6, spread=0.3, methods=8, shared=0.2),
    Scenario("strength and rate move both", setting=0.9, sizes=(0.03, 0.15, 0.08), additive=True, shared=0.3),
    Scenario("images move both scores", images=0.95, shared=0.5, settings=8),
    Scenario("U-shaped in validation AUC", u_shaped=True, seed=0.5, sizes=(0.05, 0.01, 0.08), settings=8),
    Scenario("strata differ, one sign", **_HALF, by_severity=(0.6, 1.5), shared=0.3),
    Scenario("two modes of the outcome", **_HALF, bimodal=0.3, shared=0.3),
    Scenario("as laptop", **_LAPTOP, halved=True),
    Scenario("no shift", **_STRONG, severities=(0.0,), sweeps=20),
    Scenario("copied rows", **_STRONG, data_seeds=(6,), copies=True, sweeps=20),
    Scenario("no column data_seed", **_STRONG, has_data_seed=False, sweeps=20),
    Scenario("6 data seeds", **_HALF, data_seeds=(6,), shared=0.3),
    Scenario("8 data seeds", **_HALF, data_seeds=(8,), shared=0.3),
    Scenario("6 data seeds, unrelated", data_seeds=(6,), shared=0.5),
    Scenario("3 methods", **_HALF, methods=3, shared=0.3),
    Scenario("7 methods", method=0.9, methods=7),
    Scenario("25 methods", **_STRONG, methods=25, settings=4, severities=(1.0,), shared=0.3),
    Scenario("25 methods, unrelated", methods=25, settings=4, severities=(1.0,), shared=0.3),
)

_DESIGN: dict[str, Any] = {"settings": 1, "methods": 5, "data_seeds": (20,)}
_TWO: dict[str, Any] = {"settings": 1, "methods": 5, "data_seeds": (10,), "training_seeds": 2, "shared": 0.5}
_RHO: dict[str, Any] = {"settings": 1, "methods": 5, "seed": 0.5176, "shared": 0.5}
GRID = (
    Scenario("independent trials", **_DESIGN),
    Scenario("data seeds shared by half", **_DESIGN, shared=0.5),
    Scenario("data seeds shared by nine tenths", **_DESIGN, shared=0.9),
    Scenario("ρ = .5, data seeds shared by half", **_RHO, data_seeds=(20,)),
    Scenario("ρ = .5, 10 data seeds shared by half", **_RHO, data_seeds=(10,)),
    Scenario("ρ = .5, 6 data seeds shared by half", **_RHO, data_seeds=(6,)),
    Scenario("two trainings of 10 data seeds", **_TWO),
    Scenario("ρ = .5, two trainings", **_TWO, seed=0.5176),
)
"""For the report's grid of correlations."""
