"""Shuffled: the pixels of training images outside the mask are permuted at random, anew at each step."""

from dataclasses import replace

from trainables.core.batch import Batch, Loss
from trainables.methods.method import Method
from trainables.methods.parts.altered import shuffle_outside
from trainables.methods.parts.region import MASKLESS, outside_pixels
from trainables.models import Classifier


class Shuffled(Method):
    """CE(f(x~), y), where x~ has the outside pixels of x permuted. The control for ActDiff.

    Images without a mask are left alone under the policies `skip` and `inside` and shuffled whole under `outside`.

    Source: Viviano et al., ICLR 2021 (dropped from its final tables; called "Masked" in its figures).
    """

    departures = (MASKLESS,)
    reads_preset = False
    draws = True

    def loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, _ = outside_pixels(batch.masks, self.config.empty_mask)
        return super().loss(model, replace(batch, images=shuffle_outside(batch.images, outside, batch.rng)))
