"""Penalties on altered copies of an image, which should get its label or the same answer."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options
from trainables.core.shapes import Images, Labels, Pixels
from trainables.methods.method import Penalty
from trainables.methods.parts.altered import (
    Distance,
    altered_cross_entropy,
    answer_distance,
    frozen_running_statistics,
    shuffle_outside,
    uniform_noise,
)
from trainables.methods.parts.region import mean_over, outside_pixels
from trainables.models import Classifier


class AlteredCopies(Penalty):
    """CE(f(x), y) + strength · mean over copies of CE(f(x~), y)."""

    reads_preset = False

    def copies(self, model: Classifier, batch: Batch, outside: Pixels) -> Sequence[Images]:
        """Copies of the batch's images that differ outside the mask."""
        raise NotImplementedError

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        copies = self.copies(model, batch, outside)
        logits = model(batch.images).logits
        entropies = [altered_cross_entropy(model, copy, batch.labels, takes_part) for copy in copies]
        return Loss(cross_entropy(logits, batch.labels), torch.stack(entropies).mean())


class CoRMOptions(Options):
    corm_noise: float = Field(
        0.5, gt=0, allow_inf_nan=False, description="standard deviation of the noise outside, in units of pixel value"
    )


class CoRM(AlteredCopies):
    """CE(f(x), y) + strength · CE(f(x + S · n), y), n ~ N(0, corm_noise^2) for each pixel and channel.

    Both terms are means over images. An image without outside pixels that takes part (policy `inside`) contributes its
    plain cross-entropy.

    Source: Singla, Moayeri & Feizi 2022, arXiv:2203.15566, whose weight is 1. The default noise is ours.
    """

    idea = "CoRM, core risk minimisation: the label is kept under noise outside the mask."
    in_pixel_values = ("corm_noise",)
    draws = True
    Options = CoRMOptions
    options: CoRMOptions

    def copies(self, model: Classifier, batch: Batch, outside: Pixels) -> Sequence[Images]:
        images = batch.images
        noise = torch.randn(images.shape, generator=batch.rng, dtype=images.dtype).to(images.device)
        return [images + self.options.corm_noise * noise * outside]


class CounterExamplesOptions(Options):
    counterexample_copies: int = Field(1, ge=1, description="copies of each image, k")


class CounterExamples(AlteredCopies):
    """CE(f(x), y) + strength · mean_k CE(f(x~_k), y), x~_k the image with random pixels outside the mask.

    Random pixels are uniform over the range of the image's channel and drawn anew at each step. An image without
    outside pixels that takes part (policy `inside`) contributes its plain cross-entropy.

    Source: Teso & Kersting, AIES 2019 (CAIPI).
    """

    idea = "Counterexamples: copies of each image with random pixels outside the mask keep the image's label."
    draws = True
    Options = CounterExamplesOptions
    options: CounterExamplesOptions

    def copies(self, model: Classifier, batch: Batch, outside: Pixels) -> Sequence[Images]:
        noises = (uniform_noise(batch.images, batch.rng) for _ in range(self.options.counterexample_copies))
        return [torch.where(outside, noise, batch.images) for noise in noises]


class PGDExOptions(Options):
    pgd_epsilon: float = Field(
        0.3, gt=0, allow_inf_nan=False, description="largest change of a pixel outside, in units of pixel value"
    )
    pgd_steps: int = Field(
        3, ge=1, description="steps of the search for the worst change, pgd_epsilon / pgd_steps each"
    )


def worst_outside(model: Classifier, images: Images, labels: Labels, outside: Pixels, options: PGDExOptions) -> Images:
    """x + d, |d| <= epsilon · S, after steps along the sign of dCE/dx that start at x and cannot leave the range."""
    worst = images.detach().clone()
    for _ in range(options.pgd_steps):
        worst.requires_grad_()
        with frozen_running_statistics(model):
            entropy = cross_entropy(model(worst).logits, labels, reduction="sum")
        (gradient,) = torch.autograd.grad(entropy, worst)
        worst = worst.detach() + options.pgd_epsilon / options.pgd_steps * gradient.sign() * outside
    return worst


class PGDEx(AlteredCopies):
    """CE(f(x), y) + strength · CE(f(x + d*), y), d* = argmax of CE over |d| <= pgd_epsilon · S, found by PGD.

    No gradient flows through the search. An image without outside pixels that takes part (policy `inside`) contributes
    its plain cross-entropy.

    Source: Heo et al., NeurIPS 2023, arXiv:2303.06419 (robustness to explanations, PGD-Ex), whose weight is 1; the
    default range and number of steps are ours.
    """

    idea = "PGD-Ex: the label is kept under the worst small change outside the mask."
    in_pixel_values = ("pgd_epsilon",)
    stops_gradient = True
    Options = PGDExOptions
    options: PGDExOptions

    def copies(self, model: Classifier, batch: Batch, outside: Pixels) -> Sequence[Images]:
        return [worst_outside(model, batch.images, batch.labels, outside, self.options)]


class LogitInvarianceOptions(Options):
    invariance_distance: Distance = Field(
        "kl", description="between the answers: kl, in nats, or l2, the squared Euclidean distance of the logits"
    )


class LogitInvariance(Penalty):
    """CE(f(x), y) + strength · mean_b d(f(x_b), f(x~_b)), x~ with outside pixels permuted; gradients reach both passes.

    The shuffled pass leaves batch normalisation's running statistics alone.

    Source: the invariance term of Ying, Hase & Bansal, NeurIPS 2022 (VisFIS).
    """

    idea = "Logit invariance: an image and its shuffled copy get the same answer. ActDiff in the output space."
    reads_preset = False
    strengths = (1e-2, 1e1)
    draws = True
    Options = LogitInvarianceOptions
    options: LogitInvarianceOptions

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        with frozen_running_statistics(model):
            shuffled_logits = model(shuffle_outside(batch.images, outside, batch.rng)).logits
        logits = model(batch.images).logits
        distances = answer_distance(logits, shuffled_logits, self.options.invariance_distance)
        return Loss(cross_entropy(logits, batch.labels), mean_over(distances, takes_part))
