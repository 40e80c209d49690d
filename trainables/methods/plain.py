"""Methods that train on images as they are, or without their outside: the baseline and two of its relatives."""

from dataclasses import replace

from trainables.core.batch import Batch, Loss
from trainables.methods.method import Method
from trainables.methods.parts.altered import shuffle_outside
from trainables.methods.parts.region import outside_pixels
from trainables.models import Classifier


class Baseline(Method):
    """CE(f(x), y), batch mean. The mask is not used.

    Source: Viviano et al., ICLR 2021, row "Baseline".
    """

    idea = "Baseline: cross-entropy on the images as they are."
    reads_preset = False
    reads_masks = False


class Masked(Method):
    """CE(f(x · M), y) in training; validation and test images stay as they are.

    Images without a mask are kept whole under the policies `skip` and `inside` and become all zero under `outside`.
    Zero is mid-grey where pixel values are centred on it.

    Source: Viviano et al., ICLR 2021, row "Masked" of the tables.
    """

    idea = "Masked: training images are zero outside the mask."
    reads_preset = False

    def loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, _ = outside_pixels(batch.masks, self.config.empty_mask)
        return super().loss(model, replace(batch, images=batch.images.masked_fill(outside, 0.0)))


class Shuffled(Method):
    """CE(f(x~), y), where x~ has the outside pixels of x permuted. The control for ActDiff.

    Images without a mask are left alone under the policies `skip` and `inside` and shuffled whole under `outside`.

    Source: Viviano et al., ICLR 2021 (dropped from its final tables; called "Masked" in its figures).
    """

    idea = "Shuffled: the pixels of training images outside the mask are permuted at random, anew at each step."
    reads_preset = False
    draws = True

    def loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, _ = outside_pixels(batch.masks, self.config.empty_mask)
        return super().loss(model, replace(batch, images=shuffle_outside(batch.images, outside, batch.rng)))
