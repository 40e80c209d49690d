"""The losses of many members at once, by the methods' own formulas."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.func import vmap
from torch.nn.functional import cross_entropy

from trainables.methods import Method
from trainables.methods.actdiff import actdiff_penalty
from trainables.methods.input_gradient_penalty import InputGradientPenalty
from trainables.methods.region import outside_pixels
from trainables.methods.running_statistics import frozen_running_statistics
from trainables.methods.shuffle import shuffle_draw, shuffled_by
from trainables.packing.stacked_batch import StackedBatch
from trainables.packing.stacked_model import StackedModel


@dataclass(frozen=True)
class StackedLoss:
    """What a `Loss` holds, of each member."""

    classification: Float[Tensor, " members"]
    penalty: Float[Tensor, " members"]


Stacked = Callable[[Method, StackedModel, StackedBatch], StackedLoss]
"""A method's loss of one batch of each member, never a mean over members.

The method is the first member's: all that matters here is common to all, except the penalty's weight, which is not
applied."""


def baseline(method: Method, model: StackedModel, batch: StackedBatch) -> StackedLoss:
    """Cross-entropy."""
    classification = _cross_entropy(model(batch.images).logits, batch)
    return StackedLoss(classification, torch.zeros_like(classification))


def masked(method: Method, model: StackedModel, batch: StackedBatch) -> StackedLoss:
    """Cross-entropy of images that are zero outside their masks."""
    outside, _ = _outside(method, batch)
    return baseline(method, model, replace(batch, images=batch.images.masked_fill(outside, 0.0)))


def shuffled(method: Method, model: StackedModel, batch: StackedBatch) -> StackedLoss:
    """Cross-entropy of images whose outside pixels are permuted."""
    return baseline(method, model, replace(batch, images=_shuffled(method, batch)))


def input_gradient(method: Method, model: StackedModel, batch: StackedBatch) -> StackedLoss:
    """Penalties on the input gradient of a score: one gradient of the members' sum, as none sees another's images."""
    if not isinstance(method, InputGradientPenalty):
        raise TypeError(f"{type(method).__name__} is no InputGradientPenalty; give it a stacked loss of its own")
    outside, takes_part = _outside(method, batch)
    images = batch.images.detach().clone().requires_grad_()
    logits = model(images).logits
    scores = vmap(method.score)(logits, batch.labels)
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return StackedLoss(_cross_entropy(logits, batch), vmap(method.size)(gradient, outside, takes_part))


def actdiff(method: Method, model: StackedModel, batch: StackedBatch) -> StackedLoss:
    """Features of the images and of their shuffled twins, which pass first."""
    _, takes_part = _outside(method, batch)
    twins = _shuffled(method, batch)
    with frozen_running_statistics(model, frozen=method.config.preset == "fixed"):
        twins_features = model(twins).features
    output = model(batch.images)
    penalty = vmap(actdiff_penalty)(output.features, twins_features, takes_part)
    return StackedLoss(_cross_entropy(output.logits, batch), penalty)


STACKED: dict[str, Stacked] = {
    "actdiff": actdiff,
    "baseline": baseline,
    "gradmask": input_gradient,
    "input_gradient_logit": input_gradient,
    "masked": masked,
    "rrr": input_gradient,
    "shuffled": shuffled,
}
"""Methods that can be packed, each held against the method itself by tests/trainables/packing."""


def stacked_loss(method: Method, model: StackedModel, batch: StackedBatch) -> StackedLoss:
    """The losses of a batch, the penalties not weighted; without a weight the baseline's, as of the method itself."""
    loss = STACKED[method.config.method] if method.weight or not method.has_penalty else baseline
    return loss(method, model, batch)


def _cross_entropy(logits: Float[Tensor, "members batch classes"], batch: StackedBatch) -> Float[Tensor, " members"]:
    return cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), reduction="none").view_as(batch.labels).mean(1)


def _outside(
    method: Method, batch: StackedBatch
) -> tuple[Bool[Tensor, "members batch 1 height width"], Bool[Tensor, "members batch"]]:
    outside, takes_part = outside_pixels(batch.masks.flatten(0, 1), method.config.empty_mask)
    return outside.view_as(batch.masks), takes_part.view_as(batch.labels)


def _shuffled(method: Method, batch: StackedBatch) -> Float[Tensor, "members batch channels height width"]:
    outside, _ = _outside(method, batch)
    draws = [shuffle_draw(images, rng) for images, rng in zip(batch.images, batch.rngs, strict=True)]
    images = batch.images.flatten(0, 1)
    return shuffled_by(images, outside.flatten(0, 1), torch.cat(draws).to(images.device)).view_as(batch.images)
