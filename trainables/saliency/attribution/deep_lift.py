"""DeepLIFT with a zero baseline and the rescale rule."""

import warnings

from captum.attr import DeepLift as CaptumDeepLift

from trainables.models import Classifier
from trainables.saliency.attribution.attribution import FORWARD_AND_BACKWARD, Attribution, Logits, as_map, in_batches
from trainables.saliency.shapes import Images, Maps, Targets


class DeepLift(Attribution):
    """|contribution of each pixel to f_y(x) − f_y(0)| by the rescale rule, in logits.

    A model's activations must be separate modules and not in-place, as those of a `Classifier` are.

    Source: Shrikumar et al., ICML 2017, section 3.5.1 (rescale rule), as implemented in captum.
    """

    smoothing = 1.0

    def passes(self, images: Images) -> int:
        return 2 * FORWARD_AND_BACKWARD

    def maps(self, model: Classifier, images: Images, targets: Targets) -> Maps:
        method = CaptumDeepLift(Logits(model))
        with warnings.catch_warnings():
            # The warning is about hooks on activations, which captum removes after the call.
            warnings.filterwarnings("ignore", message="Setting forward, backward hooks")
            return in_batches(
                lambda x, y: as_map(method.attribute(x.detach().clone().requires_grad_(), target=y)), images, targets
            )
