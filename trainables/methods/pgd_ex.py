"""PGD-Ex: the label is kept under the worst small change outside the mask."""

import torch
from pydantic import Field
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options
from trainables.methods.method import Penalty
from trainables.methods.parts.altered import ALTERED_APART, altered_cross_entropy, frozen_running_statistics
from trainables.methods.parts.region import outside_pixels
from trainables.methods.parts.shapes import Images, Labels, Pixels
from trainables.models import Classifier


class PGDExOptions(Options):
    pgd_epsilon: float = Field(
        0.3, gt=0, allow_inf_nan=False, description="largest change of a pixel outside, in units of pixel value"
    )
    pgd_steps: int = Field(
        3, ge=1, description="steps of the search for the worst change, pgd_epsilon / pgd_steps each"
    )


def worst_outside(model: Classifier, images: Images, labels: Labels, outside: Pixels, options: PGDExOptions) -> Images:
    """x + d, |d| <= epsilon · S, after steps along the sign of dCE/dx that start at x and cannot leave the range."""
    worst = images.detach()
    for _ in range(options.pgd_steps):
        worst.requires_grad_()
        with frozen_running_statistics(model):
            entropy = cross_entropy(model(worst).logits, labels, reduction="sum")
        (gradient,) = torch.autograd.grad(entropy, worst)
        worst = worst.detach() + options.pgd_epsilon / options.pgd_steps * gradient.sign() * outside
    return worst


class PGDEx(Penalty):
    """CE(f(x), y) + strength · CE(f(x + d*), y), d* = argmax of CE over |d| <= pgd_epsilon · S, found by PGD.

    No gradient flows through the search. An image without outside pixels that takes part (policy `inside`) contributes
    its plain cross-entropy.

    Source: Heo et al., NeurIPS 2023, arXiv:2303.06419 (robustness to explanations, PGD-Ex), whose weight is 1; the
    default range and number of steps are ours.
    """

    departures = (ALTERED_APART,)
    reads_preset = False
    in_pixel_values = ("pgd_epsilon",)
    stops_gradient = True
    Options = PGDExOptions
    options: PGDExOptions

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        # A copy, as the search requires gradients of its images.
        worst = worst_outside(model, batch.images.clone(), batch.labels, outside, self.options)
        logits = model(batch.images).logits
        penalty = altered_cross_entropy(model, worst, batch.labels, takes_part)
        return Loss(cross_entropy(logits, batch.labels), penalty)
