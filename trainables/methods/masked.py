"""Masked: training images are zero outside the mask."""

from dataclasses import replace

from trainables.core.batch import Batch, Loss
from trainables.methods.method import Method
from trainables.methods.parts.region import MASKLESS, outside_pixels
from trainables.models import Classifier


class Masked(Method):
    """CE(f(x · M), y) in training; validation and test images stay as they are.

    Images without a mask are kept whole under the policies `skip` and `inside` and become all zero under `outside`.
    Zero is mid-grey where pixel values are centred on it.

    Source: Viviano et al., ICLR 2021, row "Masked" of the tables.
    """

    departures = (MASKLESS,)
    reads_preset = False

    def loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, _ = outside_pixels(batch.masks, self.config.empty_mask)
        return super().loss(model, replace(batch, images=batch.images.masked_fill(outside, 0.0)))
