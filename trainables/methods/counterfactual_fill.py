"""Counterfactual fill: an image loses its label without the foreground and keeps it without the background."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options
from trainables.methods.method import Penalty
from trainables.methods.parts.altered import (
    altered_cross_entropy,
    frozen_running_statistics,
    shuffle_outside,
    uniform_noise,
)
from trainables.methods.parts.region import mean_over, outside_pixels
from trainables.methods.parts.shapes import Images, Labels, Logits, PerImage, Pixels
from trainables.models import Classifier

Fill = Literal["shuffle", "random", "mean"]


class CounterfactualFillOptions(Options):
    fill_with: Fill = Field(
        "shuffle",
        description="filling: shuffle (pixels of the background: permuted, or drawn with replacement for the "
        "foreground), random (uniform over the range of the image's channel), mean (of the background)",
    )
    fill_regions: Literal["both", "background", "foreground"] = Field("both", description="which regions are filled")


def drawn_from(images: Images, source: Pixels, rng: torch.Generator) -> Images:
    """Draw for every pixel one of the same image's `source` pixels, with replacement; of all pixels if it has none."""
    _, channels, height, width = images.shape
    weights = source.flatten(1).cpu()
    weights = weights | ~weights.any(dim=1, keepdim=True)
    index = torch.multinomial(weights.double(), height * width, replacement=True, generator=rng).to(images.device)
    return images.flatten(2).gather(2, index[:, None, :].expand(-1, channels, -1)).view_as(images)


def mean_of(images: Images, source: Pixels) -> Float[Tensor, "batch channels 1 1"]:
    """Mean over the `source` pixels of each image and channel."""
    count = source.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    return (images * source).sum(dim=(2, 3), keepdim=True) / count


def fill_background(images: Images, outside: Pixels, rng: torch.Generator, fill: Fill) -> Images:
    """Replace the pixels outside the mask."""
    if fill == "shuffle":
        return shuffle_outside(images, outside, rng)
    values = uniform_noise(images, rng) if fill == "random" else mean_of(images, outside)
    return torch.where(outside, values, images)


def fill_foreground(images: Images, outside: Pixels, rng: torch.Generator, fill: Fill) -> Images:
    """Replace the pixels inside the mask by ones like the background."""
    if fill == "shuffle":
        values = drawn_from(images, outside, rng)
    else:
        values = uniform_noise(images, rng) if fill == "random" else mean_of(images, outside)
    return torch.where(outside, images, values)


def not_label_entropy(logits: Logits, labels: Labels) -> PerImage:
    """−log(1 − p_y) of each image, in nats: the cross-entropy of the answer "not y"."""
    label = one_hot(labels, logits.shape[1]).bool()
    return logits.logsumexp(dim=1) - logits.masked_fill(label, -torch.inf).logsumexp(dim=1)


class CounterfactualFill(Penalty):
    """CE(f(x), y) + strength · (CE(f(x_F), y) − log(1 − p_y(x_CF))), x_F the image with another background.

    x_CF is the image without its foreground. `fill_regions` can select one of the two terms.

    Each term is a mean over images: the first over those that take part (an image without outside pixels, policy
    `inside`, contributes its plain cross-entropy), the second over those that also have a foreground and a background.

    Source: Chang, Adam & Goldenberg, CVPR 2021 ("Towards Robust Classification Model by Counterfactual and Invariant
    Data Generation"), who mix the generated images into the training batches, and also fill with tiles, which
    is not implemented.
    """

    reads_preset = False
    draws = True
    Options = CounterfactualFillOptions
    options: CounterfactualFillOptions

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        logits = model(batch.images).logits
        penalty = logits.new_zeros(())
        if self.options.fill_regions != "foreground":
            factual = fill_background(batch.images, outside, batch.rng, self.options.fill_with)
            penalty = penalty + altered_cross_entropy(model, factual, batch.labels, takes_part)
        if self.options.fill_regions != "background":
            counterfactual = fill_foreground(batch.images, outside, batch.rng, self.options.fill_with)
            has_both = takes_part & outside.flatten(1).any(dim=1) & ~outside.flatten(1).all(dim=1)
            with frozen_running_statistics(model):
                other = not_label_entropy(model(counterfactual).logits, batch.labels)
            penalty = penalty + mean_over(other, has_both)
        return Loss(cross_entropy(logits, batch.labels), penalty)
