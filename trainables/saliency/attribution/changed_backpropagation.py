"""Attributions that change what activations propagate back, as implemented in captum."""

import warnings
from typing import Any, ClassVar

from captum.attr import DeepLift as CaptumDeepLift
from captum.attr import GuidedBackprop as CaptumGuidedBackprop

from trainables.models import Classifier
from trainables.saliency.attribution.attribution import FORWARD_AND_BACKWARD, Attribution, Logits, as_map, in_batches
from trainables.saliency.shapes import Images, Maps, Targets


class ChangedBackpropagation(Attribution):
    """The absolute value of what captum's `method` attributes."""

    smoothing = 1.0
    method: ClassVar[Any]

    def maps(self, model: Classifier, images: Images, targets: Targets) -> Maps:
        method = self.method(Logits(model))
        with warnings.catch_warnings():
            # The warnings are about hooks on activations, which captum removes after the call.
            warnings.filterwarnings("ignore", message="Setting (forward, )?backward hooks")
            return in_batches(
                lambda x, y: as_map(method.attribute(x.detach().clone().requires_grad_(), target=y)), images, targets
            )


class DeepLift(ChangedBackpropagation):
    """|contribution of each pixel to f_y(x) − f_y(0)| by the rescale rule, in logits.

    A model's activations must be separate modules and not in-place, as those of a `Classifier` are.

    Source: Shrikumar et al., ICML 2017, section 3.5.1 (rescale rule), as implemented in captum.
    """

    method = CaptumDeepLift

    def passes(self, images: Images) -> int:
        return 2 * FORWARD_AND_BACKWARD


class GuidedBackprop(ChangedBackpropagation):
    """|d f_y / dx| where each ReLU propagates positive gradients only, in logits per unit of pixel value.

    For a model without ReLU modules it is the input gradient. It hardly depends on the weights of high layers (Adebayo
    et al., NeurIPS 2018); `randomisation_check` measures how much.

    Source: Springenberg et al., ICLR workshop 2015, arXiv:1412.6806, figure 1, as implemented in captum.
    """

    method = CaptumGuidedBackprop
