"""The input gradient, and its product with the image."""

from captum.attr import Saliency

from trainables.models import Classifier
from trainables.saliency.attribution.attribution import Attribution, Logits, as_map, gradient, in_batches
from trainables.saliency.shapes import Images, Maps, Targets


class InputGradient(Attribution):
    """|d f_y / dx|, in logits per unit of pixel value. Source: Simonyan et al., arXiv:1312.6034."""

    smoothing = 1.0

    def maps(self, model: Classifier, images: Images, targets: Targets) -> Maps:
        inputs = images.detach().clone().requires_grad_()
        return as_map(Saliency(Logits(model)).attribute(inputs, target=targets, abs=True))


class InputXGradient(Attribution):
    """|x · d f_y / dx|, in logits. Source: Shrikumar et al., arXiv:1605.01713, section 3."""

    smoothing = 1.0

    def maps(self, model: Classifier, images: Images, targets: Targets) -> Maps:
        return in_batches(lambda x, y: as_map(x * gradient(model, x, y)), images, targets)
