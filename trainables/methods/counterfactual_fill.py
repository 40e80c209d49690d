"""Counterfactual fill: an image loses its label without the foreground and keeps it without the background."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options
from trainables.core.departure import Departure
from trainables.core.shapes import Images, Labels, Logits, PerImage, Pixels
from trainables.methods.method import Penalty
from trainables.methods.parts.altered import (
    ALTERED_APART,
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


def mean_of(images: Images, source: Pixels) -> Float[Tensor, "batch channels 1 1"]:
    """Mean over the `source` pixels of each image and channel."""
    count = source.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    return (images * source).sum(dim=(2, 3), keepdim=True) / count


def filling(images: Images, outside: Pixels, rng: torch.Generator, fill: Fill) -> Images:
    """Values like those outside the mask, for every pixel."""
    if fill == "shuffle":
        return drawn_from(images, outside, rng)
    return uniform_noise(images, rng) if fill == "random" else mean_of(images, outside).expand_as(images)


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
    `fill_regions` can select one of the two terms.

    Each term is a mean over images: the first over those that take part (an image without outside pixels, policy
    `inside`, contributes its plain cross-entropy), the second over those that also have a foreground and a background.

    Source: Chang, Adam & Goldenberg, CVPR 2021 ("Towards Robust Classification Model by Counterfactual and Invariant
    Data Generation"), and their program.
    """

    departures = (
        Departure(
            "for x_CF the program fills the smallest rectangle around a mask, so that no shape remains",
            "the mask itself is filled: a mask that follows an object leaves its silhouette in x_CF, which must lose "
            "the label",
            "`preset=paper`",
        ),
        ALTERED_APART,
        Departure(
            "the program also fills with tiles of the background; its shuffle permutes the values of all images and "
            "channels, its random values are one colour an image with noise, its mean is 0",
            "values of the same image: pixels, the range of each channel, or their mean",
            "none",
        ),
    )
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
