"""Counterfactual fill: an image loses its label without the foreground and keeps it without the background."""

from typing import Literal

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options
from trainables.core.shapes import Images, Labels, Logits, PerImage, Pixels
from trainables.methods.method import Penalty
from trainables.methods.parts.altered import (
    altered_cross_entropy,
    frozen_running_statistics,
    shuffle_outside,
    uniform_noise,
)
from trainables.methods.parts.region import mean_over, outside_pixels
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
    """For every pixel, a random `source` pixel of the image, with replacement; any pixel if it has no `source`."""
    _, channels, height, width = images.shape
    weights = source.flatten(1).cpu()
    weights = weights | ~weights.any(dim=1, keepdim=True)
    index = torch.multinomial(weights.double(), height * width, replacement=True, generator=rng).to(images.device)
    return images.flatten(2).gather(2, index[:, None, :].expand(-1, channels, -1)).view_as(images)


def filling(images: Images, outside: Pixels, rng: torch.Generator, fill: Fill) -> Images:
    """Values like those outside the mask, for every pixel."""
    if fill == "shuffle":
        return drawn_from(images, outside, rng)
    if fill == "random":
        return uniform_noise(images, rng)
    count = outside.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    return ((images * outside).sum(dim=(2, 3), keepdim=True) / count).expand_as(images)


def fill_background(images: Images, outside: Pixels, rng: torch.Generator, fill: Fill) -> Images:
    """Replace the pixels outside the mask; `shuffle` permutes them."""
    if fill == "shuffle":
        return shuffle_outside(images, outside, rng)
    return torch.where(outside, filling(images, outside, rng, fill), images)


def fill_foreground(images: Images, outside: Pixels, rng: torch.Generator, fill: Fill) -> Images:
    """Replace the pixels inside the mask."""
    return torch.where(outside, images, filling(images, outside, rng, fill))


def outside_boxes(outside: Pixels) -> Pixels:
    """The pixels outside the smallest upright rectangle around each mask; all pixels if the mask is empty."""

    def between(lines: Bool[Tensor, "batch lines"]) -> Bool[Tensor, "batch lines"]:
        first = lines.int().cumsum(dim=1) > 0
        last = lines.int().flip(1).cumsum(dim=1).flip(1) > 0
        return first & last

    inside = ~outside[:, 0]
    return ~(between(inside.any(dim=2))[:, None, :, None] & between(inside.any(dim=1))[:, None, None, :])


def not_label_entropy(logits: Logits, labels: Labels) -> PerImage:
    """−log(1 − p_y) of each image, in nats: the cross-entropy of the answer "not y"."""
    label = one_hot(labels, logits.shape[1]).bool()
    return logits.logsumexp(dim=1) - logits.masked_fill(label, -torch.inf).logsumexp(dim=1)


class CounterfactualFill(Penalty):
    """CE(f(x), y) + strength · (CE(f(x_F), y) − log(1 − p_y(x_CF))), x_F the image with another background.

    x_CF is the image without its foreground: the mask (`fixed`) or the smallest rectangle around it (`paper`).
    `fill_regions` can select one of the two terms. The first is a mean over the images that take part (one without
    outside pixels contributes its plain cross-entropy), the second over those with a foreground and a background.

    Source: Chang, Adam & Goldenberg, CVPR 2021 ("Towards Robust Classification Model by Counterfactual and Invariant
    Data Generation"), and their program.
    """

    draws = True
    paper_revision = 2
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
            kept = outside_boxes(outside) if self.config.preset == "paper" else outside
            counterfactual = fill_foreground(batch.images, kept, batch.rng, self.options.fill_with)
            has_both = takes_part & kept.flatten(1).any(dim=1) & ~kept.flatten(1).all(dim=1)
            with frozen_running_statistics(model):
                other = not_label_entropy(model(counterfactual).logits, batch.labels)
            penalty = penalty + mean_over(other, has_both)
        return Loss(cross_entropy(logits, batch.labels), penalty)
