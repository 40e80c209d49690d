"""Expected-gradients prior: attribution relative to another image of the batch is small outside the mask."""

import torch
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.departure import Departure
from trainables.methods.method import Penalty
from trainables.methods.parts.altered import frozen_running_statistics
from trainables.methods.parts.region import outside_pixels, reduced_outside
from trainables.methods.parts.shapes import Images, Labels
from trainables.models import Classifier


def expected_gradients(model: Classifier, images: Images, labels: Labels, rng: torch.Generator) -> Images:
    """(x − x') · d f_y(x' + a (x − x')) / dx with one draw of x' and a ~ U(0, 1) for each image, in logits.

    x' is another image of the batch: the batch rolled by one random number of places. In a batch of one it is the image
    itself, and the attribution zero. Running statistics of batch normalisation are left alone.
    """
    count = len(images)
    places = int(torch.randint(1, max(count, 2), (), generator=rng))
    step = torch.rand(count, 1, 1, 1, generator=rng, dtype=images.dtype).to(images.device)
    difference = images - images.roll(places, dims=0)
    between = (images - (1 - step) * difference).detach().requires_grad_()
    with frozen_running_statistics(model):
        scores = model(between).logits.gather(1, labels[:, None])
    (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
    return difference.detach() * gradient


class ExpectedGradients(Penalty):
    """CE(f(x), y) + strength · | S · EG(x) |, summed (`paper`) or averaged (`fixed`); EG with one draw a step.

    The prior, whose form the source leaves to the task, is the absolute value outside the mask.

    Source: Erion et al., Nature Machine Intelligence 2021, expected gradients as a training prior.
    """

    departures = (
        Departure(
            "x' is drawn from the whole training set",
            "from the batch, as a method sees no other images",
            "none; a larger `batch_size` comes closer",
        ),
    )

    second_order = True
    strengths = (1e0, 1e3)
    draws = True

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        logits = model(batch.images).logits
        attributions = expected_gradients(model, batch.images, batch.labels, batch.rng)
        penalty = reduced_outside(attributions.abs(), outside, takes_part, self.config.preset)
        return Loss(cross_entropy(logits, batch.labels), penalty)
