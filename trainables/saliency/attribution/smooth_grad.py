"""SmoothGrad: the input gradient averaged over noisy copies of the image."""

import torch
from torch import Tensor

from trainables.models import Classifier
from trainables.saliency.attribution.attribution import FORWARD_AND_BACKWARD, Attribution, as_map, gradient, in_batches
from trainables.saliency.shapes import Images, Maps, Targets

NOISE = 0.15
"""Standard deviation of the noise relative to the image's range; the source recommends 0.1 to 0.2."""


class SmoothGrad(Attribution):
    """|mean over n of d f_y / dx at x + noise|, in logits per unit of pixel value.

    Noise ~ N(0, (0.15 (max x − min x))²); n is the number of gradients within `attribution_passes`. The mean is of
    signed gradients. All images meet the same n noise patterns.

    Source: Smilkov et al., arXiv:1706.03825, section 3.
    """

    smoothing = 1.0
    draws = True

    def passes(self, images: Images) -> int:
        return self.gradients * FORWARD_AND_BACKWARD

    def maps(self, model: Classifier, images: Images, targets: Targets) -> Maps:
        noises = torch.randn(self.gradients, *images.shape[1:], generator=self.rng()).to(images)

        def smooth(x: Tensor, y: Tensor) -> Tensor:
            spread = NOISE * (x.flatten(1).amax(dim=1) - x.flatten(1).amin(dim=1))[:, None, None, None]
            total = torch.zeros_like(x)
            for noise in noises:
                total += gradient(model, x + spread * noise, y)
            return as_map(total / len(noises))

        return in_batches(smooth, images, targets)
