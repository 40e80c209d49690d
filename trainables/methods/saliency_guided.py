"""Saliency-guided training: replacing the pixels with the smallest gradients keeps the answer. No masks."""

import torch
from pydantic import Field
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options
from trainables.methods.method import Penalty, images_with_gradient
from trainables.methods.parts.altered import answer_distance, frozen_running_statistics, uniform_noise
from trainables.methods.parts.shapes import Images, Pixels
from trainables.models import Classifier


class SaliencyGuidedOptions(Options):
    saliency_guided_share: float = Field(
        0.5, gt=0, lt=1, description="k, the share of an image's pixels that are replaced"
    )


def least_salient(gradient: Images, share: float) -> Pixels:
    """True on the floor(share · pixels) pixels of each image whose |gradient|, summed over channels, is smallest.

    Ties go to the upper left.
    """
    salience = gradient.abs().sum(dim=1).flatten(1)
    least = salience.argsort(dim=1, stable=True)[:, : int(share * salience.shape[1])]
    return (
        torch.zeros_like(salience, dtype=torch.bool)
        .scatter_(1, least, True)
        .view(len(gradient), 1, *gradient.shape[2:])
    )


class SaliencyGuided(Penalty):
    """CE(f(x), y) + strength · KL(f(x) || f(x~)), x~ with the share k of pixels replaced.

    A reference without masks: it sharpens saliency maps without knowing where they should be. The pixels with the
    smallest |d f_y / dx|, summed over channels, are replaced by values uniform over the range of the image's channel.
    Gradients reach both passes, but not the choice of pixels. The second pass leaves batch normalisation's running
    statistics alone.

    Source: Ismail, Corrada Bravo & Feizi, NeurIPS 2021, whose range is that of the feature.
    """

    reads_preset = False
    reads_masks = False
    stops_gradient = True
    strengths = (1e-2, 1e1)
    draws = True
    Options = SaliencyGuidedOptions
    options: SaliencyGuidedOptions

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        images = images_with_gradient(batch)
        logits = model(images).logits
        scores = logits.gather(1, batch.labels[:, None])
        (gradient,) = torch.autograd.grad(scores.sum(), images, retain_graph=True)
        replaced = least_salient(gradient, self.options.saliency_guided_share)
        altered = torch.where(replaced, uniform_noise(batch.images, batch.rng), batch.images)
        with frozen_running_statistics(model):
            altered_logits = model(altered).logits
        penalty = answer_distance(logits, altered_logits, "kl").mean()
        return Loss(cross_entropy(logits, batch.labels), penalty)
