"""Which epoch's weights a trial is scored with."""

import math
from collections.abc import Mapping
from typing import Any, get_args

from torch import Tensor

from records import columns
from trainables.core.config import Selection, TrialConfig

SELECTIONS: tuple[Selection, ...] = get_args(Selection)


class BestEpoch:
    """The epoch that one selection rule prefers so far, and its weights.

    `last` takes the last epoch whatever its loss; `best_valid_id` and `best_valid_ood` the first epoch with the lowest
    loss on that split, from the configuration's candidate epoch on.
    """

    def __init__(self, config: TrialConfig):
        last = config.selection == "last"
        self.split = "valid_id" if last else config.selection.removeprefix("best_")
        self.first_choice = config.epochs - 1 if last else config.candidate_epoch
        """The first epoch index that may be chosen."""
        self.epoch = -1
        self.loss = math.inf
        self.weights: dict[str, Tensor] = {}

    def prefers(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Whether the epoch with these validation losses takes the place of the one before."""
        if epoch < self.first_choice:
            return False
        return not self.weights or self._loss(metrics) < self.loss

    def keep(self, epoch: int, metrics: Mapping[str, float], weights: dict[str, Tensor]) -> None:
        """Take this epoch; the caller must not change `weights` afterwards."""
        self.epoch, self.loss, self.weights = epoch, self._loss(metrics), weights

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "loss": self.loss, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.epoch, self.loss, self.weights = state["epoch"], state["loss"], state["weights"]

    def _loss(self, metrics: Mapping[str, float]) -> float:
        return metrics[columns.performance(self.split, "loss")]
