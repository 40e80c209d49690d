"""Training: an epoch of optimiser steps on a method's loss, and the epoch whose weights are scored."""

import copy
import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from records import columns
from trainables.core.batch import Batch
from trainables.core.config import Precision, TrialConfig
from trainables.core.errors import DivergedError
from trainables.methods import METHODS, Method
from trainables.models import Classifier


def candidate_epoch(config: TrialConfig) -> int:
    """The first epoch index that selection may choose: the last one for methods that are `complete_at_end`."""
    last = config.epochs - 1
    return last if METHODS[config.method].complete_at_end else min(config.selection_warmup, last)


class BestEpoch:
    """The epoch that one selection rule prefers so far, and its weights.

    `best_valid_id` and `best_valid_ood` take the first epoch with the lowest loss on that split, from the candidate
    epoch on.
    """

    def __init__(self, config: TrialConfig):
        last = config.selection == "last"
        split = "valid_id" if last else config.selection.removeprefix("best_")
        self.loss_column = columns.performance(split, "loss")
        self.first_choice = config.epochs - 1 if last else candidate_epoch(config)
        """The first epoch index that may be chosen."""
        self.epoch = -1
        self.loss = math.inf
        self.weights: dict[str, Tensor] = {}

    def prefers(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Whether the epoch with these validation losses replaces the one kept so far."""
        return epoch >= self.first_choice and (not self.weights or metrics[self.loss_column] < self.loss)

    def keep(self, epoch: int, metrics: Mapping[str, float], weights: dict[str, Tensor]) -> None:
        """Keep this epoch; the caller must not change `weights` afterwards."""
        self.epoch, self.loss, self.weights = epoch, metrics[self.loss_column], weights

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "loss": self.loss, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.epoch, self.loss, self.weights = state["epoch"], state["loss"], state["weights"]


def select(best: Iterable[BestEpoch], epoch: int, metrics: Mapping[str, float], model: nn.Module) -> None:
    """Keep the model's weights, in one shared copy, for each rule that prefers this epoch."""
    preferring = [rule for rule in best if rule.prefers(epoch, metrics)]
    weights = copy.deepcopy(model.state_dict()) if preferring else {}
    for rule in preferring:
        rule.keep(epoch, metrics, weights)


def train_epoch(
    model: Classifier,
    method: Method,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch],
    precision: Precision,
    epoch: int,
    schedule: LRScheduler | None = None,
    clip_norm: float = 0.0,
) -> tuple[float, float, int]:
    """Take an optimiser step for each batch that updates the model, and leave the model in train mode.

    `precision` is that of the loss's forward pass; `epoch` is for the error's message. The schedule takes a step for
    each batch; gradients are scaled to a norm of at most `clip_norm` unless it is 0.

    Returns:
        Classification loss and unweighted penalty, means over the images, and how many batches updated the model.

    Raises:
        DivergedError: a loss or penalty is not finite; the message names batch and epoch.
    """
    model.train()
    trained = [weights for weights in model.parameters() if weights.requires_grad]
    classification, penalty, images, steps = 0.0, 0.0, 0, 0
    for number, batch in enumerate(batches):
        with torch.autocast(batch.images.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = method.loss(model, batch)
        total = loss.classification
        if method.weight:
            total = total + method.weight * loss.penalty
        if not torch.isfinite(total):
            raise DivergedError(
                f"loss {loss.classification.item():g} and penalty {loss.penalty.item():g} "
                f"(weight {method.weight:g}) in batch {number} of epoch {epoch}"
            )
        if loss.updates_model:
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            if clip_norm:
                nn.utils.clip_grad_norm_(trained, clip_norm)
            optimizer.step()
            steps += 1
        if schedule is not None:
            with warnings.catch_warnings():
                # The first batches of the adversarial method under preset paper leave the model as it is.
                warnings.filterwarnings("ignore", r"Detected call of `lr_scheduler.step\(\)` before")
                schedule.step()
        size = len(batch.labels)
        classification += loss.classification.item() * size
        penalty += loss.penalty.item() * size
        images += size
    return classification / images, penalty / images, steps
