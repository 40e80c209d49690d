"""Trials that differ in all that the members of a pack may differ in."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from trainables import METHODS, Trial, TrialConfig

TINY = {"n_train": 12, "n_valid": 8, "n_test": 8, "batch_size": 8, "epochs": 2, "selection_warmup": 0}
TINY |= {"attributions": ("input_gradient",), "attribution_images": 2, "integrated_gradients_steps": 2}


@pytest.fixture(scope="session")
def members() -> Callable[..., list[TrialConfig]]:
    """members(method, **settings): three trials whose seeds, learning rates, strengths and severities differ."""

    def build(method: str, **settings: object) -> list[TrialConfig]:
        weight = float(METHODS[method].has_penalty)
        varied = [
            {"seed": 0, "data_seed": 0, "lr": 1e-3, "strength": 0.1 * weight, "severity": 0.5},
            {"seed": 1, "data_seed": 1, "lr": 3e-3, "strength": 1.0 * weight, "severity": 1.0},
            {"seed": 2, "data_seed": 0, "lr": 2e-3, "strength": 5.0 * weight, "severity": 0.5},
        ]
        return [TrialConfig.parse({**TINY, "method": method, **own, **settings}) for own in varied]

    return build


@pytest.fixture(scope="session")
def in_double() -> Callable[..., list[Trial]]:
    """in_double(configs): their trials in double precision, where rounding hides no error."""

    def build(configs: list[TrialConfig]) -> list[Trial]:
        trials, images = [Trial(config) for config in configs], {}
        for trial in trials:
            trial.model.double()
            trial.optimizer = torch.optim.Adam(trial.model.parameters(), lr=trial.config.lr)
            for split in trial.splits.values():
                images.setdefault(id(split.images), split.images.double())
            trial.splits = {
                name: replace(split, images=images[id(split.images)]) for name, split in trial.splits.items()
            }
        return trials

    return build
