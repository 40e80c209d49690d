"""Feature ablation: the fall of the score when a superpixel is set to zero."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from trainables.core.batch import IMAGES_AT_ONCE
from trainables.models import Classifier
from trainables.saliency.attribution.attribution import Attribution, in_batches, target_logits
from trainables.saliency.shapes import Images, Maps, Targets

SUPERPIXELS = 50
COMPACTNESS = 0.1
"""Weight of distance against differences in pixel values in [0, 1]."""


class FeatureAblation(Attribution):
    """|f_y(x) − f_y(x with the superpixel at zero)|, in logits, constant over each superpixel.

    About 50 superpixels per image by SLIC, at most `attribution_passes`.

    Source: Achanta et al., PAMI 2012 (SLIC), as implemented in scikit-image; ablation as in captum.
    """

    def passes(self, images: Images) -> int:
        return min(SUPERPIXELS, self.config.attribution_passes)

    @torch.no_grad()
    def maps(self, model: Classifier, images: Images, targets: Targets) -> Maps:
        most = min(SUPERPIXELS, self.config.attribution_passes)

        def ablated(x: Tensor, y: Tensor) -> Tensor:
            segments = superpixels(x, most)
            whole = target_logits(model, x, y)
            result = torch.zeros_like(x[:, 0])
            for numbers in torch.arange(int(segments.max()) + 1, device=x.device).split(IMAGES_AT_ONCE // len(x)):
                inside = segments[:, None] == numbers[None, :, None, None]
                without = (x[:, None] * ~inside[:, :, None]).flatten(0, 1)
                scores = target_logits(model, without, y.repeat_interleave(len(numbers))).view(len(x), -1)
                falls = (whole[:, None] - scores).abs()
                # Superpixels do not overlap, so each pixel gets one fall.
                result += (falls[:, :, None, None] * inside).sum(dim=1)
            return result

        return in_batches(ablated, images, targets)


def superpixels(images: Images, most: int) -> Int[Tensor, "images height width"]:
    """Number each pixel's superpixel from 0, about `most` per image."""
    from skimage.segmentation import slic  # slow to import, and few trials need it

    segments = [
        slic(
            image,
            n_segments=most,
            compactness=COMPACTNESS,
            start_label=0,
            channel_axis=0,
            convert2lab=False,
        )
        for image in images.cpu().numpy()
    ]
    return torch.from_numpy(np.stack(segments)).to(images.device)
