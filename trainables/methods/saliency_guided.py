"""Saliency-guided training: replacing the pixels with the smallest gradients keeps the answer. No masks."""

import torch
from pydantic import Field
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options
from trainables.core.shapes import Images, Pixels
from trainables.methods.method import Penalty, images_with_gradient, of_class
from trainables.methods.parts.altered import answer_distance, evaluation_mode, frozen_running_statistics, uniform_noise
from trainables.models import Classifier


class SaliencyGuidedOptions(Options):
    saliency_guided_share: float = Field(
        0.5, gt=0, lt=1, description="k, the share of an image's pixels that are replaced"
    )


def least_salient(salience: Images, share: float) -> Pixels:
    """True on the floor(share · pixels) pixels of each image whose salience, summed over channels, is smallest.

    Ties go to the upper left.
    """
    total = salience.sum(dim=1).flatten(1)
    least = total.argsort(dim=1, stable=True)[:, : int(share * total.shape[1])]
    chosen = torch.zeros_like(total, dtype=torch.bool).scatter_(1, least, True)
    return chosen.view(len(salience), 1, *salience.shape[2:])


class SaliencyGuided(Penalty):
    """CE(f(x), y) + strength · KL(f(x) || f(x~)), x~ with the share k of pixels replaced.

    A reference without masks: it sharpens maps without knowing where they should be. The pixels with the smallest
    | d f_y / dx | (`fixed`) or d f_y / dx (`paper`), summed over channels, are replaced by values uniform over the
    range of the image's channel. Gradients reach both passes, but not the choice of pixels.

    Source: Ismail, Corrada Bravo & Feizi, NeurIPS 2021, and their program.
    """

    reads_masks = False
    stops_gradient = True
    strengths = (1e-2, 1e1)
    draws = True
    paper_revision = 2
    Options = SaliencyGuidedOptions
    options: SaliencyGuidedOptions

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        paper = self.config.preset == "paper"
        images = images_with_gradient(batch)
        logits = ranking = model(images).logits
        if paper:
            with evaluation_mode(model):
                ranking = model(images).logits
        (gradient,) = torch.autograd.grad(of_class(ranking, batch.labels).sum(), images, retain_graph=True)
        replaced = least_salient(gradient if paper else gradient.abs(), self.options.saliency_guided_share)
        altered = torch.where(replaced, uniform_noise(batch.images, batch.rng), batch.images)
        with frozen_running_statistics(model, frozen=not paper):
            altered_logits = model(altered).logits
        penalty = answer_distance(logits, altered_logits, "kl").mean()
        return Loss(cross_entropy(logits, batch.labels), penalty)
