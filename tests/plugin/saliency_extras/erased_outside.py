"""Erased outside: an image keeps its features when everything outside the mask is black."""

from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.methods import Penalty
from trainables.methods.parts.region import mean_over, outside_pixels
from trainables.models import Classifier


class ErasedOutside(Penalty):
    """CE(f(x), y) + strength · mean_b ‖h(x_b) − h(x_b · M_b)‖² / features, gradients through both passes."""

    reads_preset = False
    relative_cost = 2.0

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        output = model(batch.images)
        erased = model(batch.images.masked_fill(outside, 0))
        distances = (output.features - erased.features).square().mean(dim=1)
        return Loss(cross_entropy(output.logits, batch.labels), mean_over(distances, takes_part))
