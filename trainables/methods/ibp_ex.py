"""IBP-Ex: the label is kept under a bound of the worst change outside the mask, by interval bound propagation."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options
from trainables.core.errors import DivergedError
from trainables.core.shapes import Images, Labels, Logits, Pixels
from trainables.methods.method import Penalty
from trainables.methods.parts.layer_walk import Affine, Rules, apply, scale_and_shift, walk
from trainables.methods.parts.region import mean_over, outside_pixels
from trainables.models import Classifier

WIDEST = 1e6
"""Limit of the worst-case cross-entropy in nats: above, Adam's squared gradients approach the range of float32."""


class IBPExOptions(Options):
    ibp_epsilon: float = Field(
        0.01, gt=0, allow_inf_nan=False, description="largest change of a pixel outside, in units of pixel value"
    )
    ibp_ramp: float = Field(
        0.5, ge=0, le=1, description="share of the epochs over which the change grows to ibp_epsilon; 0: from the start"
    )


class Interval(NamedTuple):
    """Activations, with the centre and radius of an interval for each."""

    values: Float[Tensor, "batch *shape"]
    centres: Float[Tensor, "batch *shape"]
    radii: Float[Tensor, "batch *shape"]


class IntervalRules(Rules[Interval]):
    """Bounds of each layer's output for all inputs in the interval; tight for a single layer.

    Batch normalisation is an affine map by the statistics of the unaltered images.

    Source: Gowal et al. 2018, arXiv:1810.12715, equations 3 to 6.
    """

    def affine(self, layer: Affine, state: Interval) -> Interval:
        radii = apply(layer, state.radii, layer.weight.abs(), None)
        return Interval(layer(state.values), layer(state.centres), radii)

    def batch_norm(self, layer: nn.BatchNorm2d, state: Interval) -> Interval:
        scale, shift = scale_and_shift(layer, state.values)
        return Interval(layer(state.values), scale * state.centres + shift, scale.abs() * state.radii)

    def relu(self, state: Interval) -> Interval:
        lower, upper = (state.centres - state.radii).relu(), (state.centres + state.radii).relu()
        return Interval(state.values.relu(), (lower + upper) / 2, (upper - lower) / 2)


def logit_interval(model: Classifier, images: Images, outside: Pixels, epsilon: float) -> Interval:
    """The logits of `images`, with an interval that contains those of x + d for any |d| <= epsilon · S."""
    radii = (epsilon * outside.to(images.dtype)).expand_as(images)
    return walk(model, Interval(images, images, radii), IntervalRules())


def worst_logits(interval: Interval, labels: Labels) -> Logits:
    """The lower bound of the true class's logit and the upper bounds of all others."""
    true = one_hot(labels, interval.centres.shape[1]).bool()
    return interval.centres + torch.where(true, -interval.radii, interval.radii)


class IBPEx(Penalty):
    """CE(f(x), y) + strength · CE(f_worst, y), f_worst a bound of the logits over all x + d, |d| <= epsilon · S.

    f_worst has the lower bound of the true class's logit and the upper bounds of the others. The change grows linearly,
    epoch by epoch, from ibp_epsilon / n to ibp_epsilon in the first n = ibp_ramp · epochs. An image without outside
    pixels that takes part (policy `inside`) contributes its plain cross-entropy.

    The weight is (1 − alpha) / alpha. `fixed`: alpha = 1 / (1 + strength). `paper`: alpha falls from there to half of
    it, as (1 − t / 2 T) / (1 + strength) in epoch t = 0, 1, … of T; at strength 0 there is no penalty.

    Interval bounds widen by a factor in each layer. On ResNet-18 they are many orders of magnitude too wide: at the
    default the trial ends as diverged, and ibp_epsilon must be smaller by as much.

    Source: Heo, Piratla, Wicker & Weller, NeurIPS 2023, arXiv:2303.06419 (robustness to explanations, IBP-Ex), and
    their program. Its loss alpha · CE + (1 − alpha) · CE_worst is divided by alpha here, a factor on which Adam's steps
    do not depend. The default range is ours.
    """

    in_pixel_values = ("ibp_epsilon",)
    walks_layers = True
    paper_revision = 2
    # Bounds widen by a factor of hundreds in each layer: across ResNet-18 no float holds a bound and its slope.
    too_steep_on = ("resnet18",)
    Options = IBPExOptions
    options: IBPExOptions

    @classmethod
    def contract_settings(cls, model: str) -> dict[str, Any]:
        return {"ibp_epsilon": 1e-24} if model == "resnet18" else {}

    @property
    def weight(self) -> float:
        if self.config.preset == "fixed" or self.config.strength == 0:
            return self.config.strength
        alpha = (1 - self.epoch / (2 * self.config.epochs)) / (1 + self.config.strength)
        return (1 - alpha) / alpha

    @property
    def epsilon(self) -> float:
        """The largest change of a pixel in this epoch."""
        ramp = max(self.options.ibp_ramp * self.config.epochs, 1)
        return self.options.ibp_epsilon * min((self.epoch + 1) / ramp, 1)

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        interval = logit_interval(model, batch.images, outside, self.epsilon)
        worst = cross_entropy(worst_logits(interval, batch.labels), batch.labels, reduction="none")
        widest = worst.max().item()
        if widest > WIDEST:
            raise DivergedError(
                f"worst-case cross-entropy {widest:g} with ibp_epsilon {self.options.ibp_epsilon:g} on model "
                f"{self.config.model!r}; at most {WIDEST:g} can be trained on: lower ibp_epsilon"
            )
        return Loss(cross_entropy(interval.values, batch.labels), mean_over(worst, takes_part))
