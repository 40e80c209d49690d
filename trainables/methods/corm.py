"""CoRM, core risk minimisation: the label is kept under noise outside the mask."""

import torch
from pydantic import Field
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options
from trainables.methods.method import Penalty
from trainables.methods.parts.altered import ALTERED_APART, altered_cross_entropy
from trainables.methods.parts.region import outside_pixels
from trainables.models import Classifier


class CoRMOptions(Options):
    corm_noise: float = Field(
        0.5, gt=0, allow_inf_nan=False, description="standard deviation of the noise outside, in units of pixel value"
    )


class CoRM(Penalty):
    """CE(f(x), y) + strength · CE(f(x + S · n), y), n ~ N(0, corm_noise^2) for each pixel and channel.

    Both terms are means over images. An image without outside pixels that takes part (policy `inside`) contributes its
    plain cross-entropy.

    Source: Singla, Moayeri & Feizi 2022, arXiv:2203.15566, whose weight is 1. The default noise is ours.
    """

    departures = (ALTERED_APART,)
    reads_preset = False
    in_pixel_values = ("corm_noise",)
    draws = True
    Options = CoRMOptions
    options: CoRMOptions

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        images = batch.images
        noise = torch.randn(images.shape, generator=batch.rng, dtype=images.dtype).to(images.device)
        noisy = images + self.options.corm_noise * noise * outside
        logits = model(images).logits
        penalty = altered_cross_entropy(model, noisy, batch.labels, takes_part)
        return Loss(cross_entropy(logits, batch.labels), penalty)
