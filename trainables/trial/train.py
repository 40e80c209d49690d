"""Training: an epoch of optimiser steps on a method's loss."""

from collections.abc import Iterable
from typing import NamedTuple

import torch

from trainables.core.batch import Batch
from trainables.core.config import Precision
from trainables.core.errors import DivergedError
from trainables.methods import Method
from trainables.models import Classifier


class EpochLosses(NamedTuple):
    """Means over an epoch's training images, and how many batches updated the model."""

    classification: float
    penalty: float
    """Unweighted."""
    steps: int


def train_epoch(
    model: Classifier,
    method: Method,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch],
    precision: Precision,
    epoch: int,
) -> EpochLosses:
    """Take an optimiser step for each batch that updates the model, and leave the model in train mode.

    `precision` is that of the loss's forward pass; `epoch` is for the error's message.

    Raises:
        DivergedError: a loss or penalty is not finite; the message names batch and epoch.
    """
    model.train()
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
            optimizer.step()
            steps += 1
        size = len(batch.labels)
        classification += loss.classification.item() * size
        penalty += loss.penalty.item() * size
        images += size
    return EpochLosses(classification / images, penalty / images, steps)
