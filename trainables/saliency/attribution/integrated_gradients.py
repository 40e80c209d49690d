"""Integrated gradients with a zero baseline."""

from captum.attr import IntegratedGradients as CaptumIntegratedGradients

from trainables.core.batch import IMAGES_AT_ONCE
from trainables.models import Classifier
from trainables.saliency.attribution.attribution import FORWARD_AND_BACKWARD, Attribution, Logits, as_map
from trainables.saliency.shapes import Images, Maps, Targets


class IntegratedGradients(Attribution):
    """|x · integral over a in [0, 1] of d f_y(a x) / dx|, in logits; Gauss-Legendre quadrature.

    The baseline is the all-zero image, `integrated_gradients_steps` points (the paper: 200).

    Source: Sundararajan et al., ICML 2017, equation 1.
    """

    smoothing = 1.0

    def passes(self, images: Images) -> int:
        return self.config.integrated_gradients_steps * FORWARD_AND_BACKWARD

    def maps(self, model: Classifier, images: Images, targets: Targets) -> Maps:
        steps = self.config.integrated_gradients_steps
        method = CaptumIntegratedGradients(Logits(model), multiply_by_inputs=True)
        attribution = method.attribute(
            images, target=targets, n_steps=steps, internal_batch_size=max(IMAGES_AT_ONCE, len(images))
        )
        return as_map(attribution.to(images.dtype))
