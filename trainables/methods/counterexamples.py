"""Counterexamples: copies of each image with random pixels outside the mask keep the image's label."""

import torch
from pydantic import Field
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options
from trainables.core.departure import Departure
from trainables.methods.method import Penalty
from trainables.methods.parts.altered import ALTERED_APART, altered_cross_entropy, uniform_noise
from trainables.methods.parts.region import outside_pixels
from trainables.models import Classifier


class CounterExamplesOptions(Options):
    counterexample_copies: int = Field(1, ge=1, description="copies of each image, k")


class CounterExamples(Penalty):
    """CE(f(x), y) + strength · mean_k CE(f(x~_k), y), x~_k the image with random pixels outside the mask.

    Random pixels are uniform over the range of the image's channel and drawn anew at each step. An image without
    outside pixels that takes part (policy `inside`) contributes its plain cross-entropy.

    Source: Teso & Kersting, AIES 2019 (CAIPI).
    """

    departures = (
        Departure(
            "k copies join the training set once, where a copy weighs as much as an image",
            "k copies are drawn anew at each step, and their mean has the weight `strength`",
            "strength k for the weights, up to a factor 1 / (1 + k) of the whole loss; none for the drawing",
        ),
        ALTERED_APART,
    )
    reads_preset = False
    draws = True
    Options = CounterExamplesOptions
    options: CounterExamplesOptions

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        logits = model(batch.images).logits
        entropies = [
            altered_cross_entropy(
                model,
                torch.where(outside, uniform_noise(batch.images, batch.rng), batch.images),
                batch.labels,
                takes_part,
            )
            for _ in range(self.options.counterexample_copies)
        ]
        return Loss(cross_entropy(logits, batch.labels), torch.stack(entropies).mean())
