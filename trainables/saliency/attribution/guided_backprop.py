"""Guided backpropagation: the input gradient, with negative gradients set to zero at every ReLU."""

import warnings

from captum.attr import GuidedBackprop as CaptumGuidedBackprop

from trainables.models import Classifier
from trainables.saliency.attribution.attribution import Attribution, Logits, as_map, in_batches
from trainables.saliency.shapes import Images, Maps, Targets


class GuidedBackprop(Attribution):
    """|d f_y / dx| where each ReLU propagates positive gradients only, in logits per unit of pixel value.

    For a model without ReLU modules it is the input gradient. It hardly depends on the weights of high layers (Adebayo
    et al., NeurIPS 2018); `randomisation_check` measures how much.

    Source: Springenberg et al., ICLR workshop 2015, arXiv:1412.6806, figure 1, as implemented in captum.
    """

    smoothing = 1.0

    def maps(self, model: Classifier, images: Images, targets: Targets) -> Maps:
        method = CaptumGuidedBackprop(Logits(model))
        with warnings.catch_warnings():
            # The warning is about hooks on ReLU modules, which captum removes after the call.
            warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU")
            return in_batches(
                lambda x, y: as_map(method.attribute(x.detach().clone().requires_grad_(), target=y)), images, targets
            )
