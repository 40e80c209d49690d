"""The base of penalties on an input gradient: a score to differentiate, and the size of its gradient."""

import torch
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.departure import Departure
from trainables.methods.method import Penalty, images_with_gradient
from trainables.methods.parts.region import outside_pixels, reduced_outside
from trainables.methods.parts.shapes import Images, Labels, Logits, Pixels, Scalar, TakesPart
from trainables.models import Classifier

SUMMED = Departure(
    "the penalty is a sum over batch, channels and pixels",
    "the mean over outside pixels and channels of each image, then over images, so that neither the size of the batch "
    "nor that of the image changes what a strength means",
    "`preset=paper`",
)
"""The departure of penalties that end in `reduced_outside`."""


class InputGradientPenalty(Penalty):
    """CE(f(x), y) + strength · size(d score(f(x), y) / dx outside the mask)."""

    second_order = True
    strengths = (1e0, 1e3)

    def score(self, logits: Logits, labels: Labels) -> Scalar:
        """The score to differentiate, summed over images.

        With batch normalisation in train mode, an image's gradient then also contains its influence on other scores.
        """
        raise NotImplementedError

    def size(self, gradient: Images, outside: Pixels, takes_part: TakesPart) -> Scalar:
        """The penalty of an input gradient: its square, summed (`paper`) or averaged (`fixed`)."""
        return reduced_outside(gradient.square(), outside, takes_part, self.config.preset)

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        images = images_with_gradient(batch)
        logits = model(images).logits
        (gradient,) = torch.autograd.grad(self.score(logits, batch.labels), images, create_graph=True)
        return Loss(cross_entropy(logits, batch.labels), self.size(gradient, outside, takes_part))
