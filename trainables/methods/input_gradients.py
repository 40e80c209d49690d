"""Penalties on an input gradient outside the mask: a score to differentiate, and the size of its gradient."""

import torch
from torch.nn.functional import cross_entropy, one_hot

from trainables.core.batch import Batch, Loss
from trainables.core.shapes import Images, Labels, Logits, PerImage, Pixels, Scalar, TakesPart
from trainables.methods.method import Penalty, images_with_gradient, of_class
from trainables.methods.parts.altered import frozen_running_statistics
from trainables.methods.parts.region import mean_over, outside_pixels, reduced_outside
from trainables.models import Classifier


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


class RRR(InputGradientPenalty):
    """CE(f(x), y) + strength · (d sum_k log p_k / dx · S)^2, summed (`paper`) or averaged (`fixed`).

    g = d( sum_{b,k} log(p_bk + 1e-11) ) / dx, p = softmax(f). The penalty is in (nats per unit of pixel value)^2.

    Source: Ross, Hughes & Doshi-Velez, IJCAI 2017, arXiv:1703.03717, the "right reasons" term, in the form of
    Viviano et al., ICLR 2021, with their 1e-11.
    """

    idea = "RRR, right for the right reasons: the input gradient of the log-probabilities is small outside the mask."

    def score(self, logits: Logits, labels: Labels) -> Scalar:
        return (logits.softmax(dim=1) + 1e-11).log().sum()


def class_contrast(logits: Logits, labels: Labels) -> PerImage:
    """| f_0 − f_1 | with two classes; | f_y − mean of the other logits | with more (ours; equal for two)."""
    true = one_hot(labels, logits.shape[1]).to(logits.dtype)
    others = (1 - true) / (logits.shape[1] - 1)
    return ((true - others) * logits).sum(dim=1).abs()


class GradMask(InputGradientPenalty):
    """CE(f(x), y) + strength · | d( |f_0 − f_1| )/dx · S |, summed (`paper`) or averaged (`fixed`).

    g = d( sum_b | f_0 − f_1 |_b ) / dx: with batch normalisation in train mode an image's gradient also contains its
    influence on the others' scores. The penalty is in logits per unit of pixel value.

    Source: Simpson et al., MIDL 2019, arXiv:1904.07478, in the form of Viviano et al., ICLR 2021.
    """

    idea = "GradMask: the input gradient of the contrast between classes is small outside the mask."

    def score(self, logits: Logits, labels: Labels) -> Scalar:
        return class_contrast(logits, labels).sum()

    def size(self, gradient: Images, outside: Pixels, takes_part: TakesPart) -> Scalar:
        return reduced_outside(gradient.abs(), outside, takes_part, self.config.preset)


class InputGradientLogit(InputGradientPenalty):
    """CE(f(x), y) + strength · mean (d f_y / dx · S)^2: RRR on the raw logit of the true class.

    g = d( sum_b f_{y_b} ) / dx. The penalty is in (logits per unit of pixel value)^2.

    Source: Chang, Adam & Goldenberg, CVPR 2021 ("Towards Robust Classification Model by Counterfactual and Invariant
    Data Generation"), their saliency regularisation "Sal".
    """

    idea = "The input gradient of the true class's logit is small outside the mask."

    def score(self, logits: Logits, labels: Labels) -> Scalar:
        return of_class(logits, labels).sum()

    def size(self, gradient: Images, outside: Pixels, takes_part: TakesPart) -> Scalar:
        if self.config.preset == "paper":
            return mean_over((gradient * outside).square().flatten(1).mean(dim=1), takes_part)
        return super().size(gradient, outside, takes_part)


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
        score = of_class(model(between).logits, labels).sum()
    (gradient,) = torch.autograd.grad(score, between, create_graph=True)
    return difference.detach() * gradient


class ExpectedGradients(Penalty):
    """CE(f(x), y) + strength · | S · EG(x) |, summed (`paper`) or averaged (`fixed`); EG with one draw a step.

    The prior, whose form the source leaves to the task, is the absolute value outside the mask.

    Source: Erion et al., Nature Machine Intelligence 2021, expected gradients as a training prior.
    """

    idea = "Expected-gradients prior: attribution relative to another image of the batch is small outside the mask."
    second_order = True
    strengths = (1e0, 1e3)
    draws = True

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        logits = model(batch.images).logits
        attributions = expected_gradients(model, batch.images, batch.labels, batch.rng)
        penalty = reduced_outside(attributions.abs(), outside, takes_part, self.config.preset)
        return Loss(cross_entropy(logits, batch.labels), penalty)
