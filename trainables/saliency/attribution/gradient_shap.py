"""GradientSHAP: expected gradients over reference images and points on the path from them."""

import torch
from torch import Tensor

from trainables.models import Classifier
from trainables.saliency.attribution.attribution import FORWARD_AND_BACKWARD, Attribution, as_map, gradient, in_batches
from trainables.saliency.shapes import Images, Maps, Targets


class GradientShap(Attribution):
    """|mean over n of (x − r) · d f_y / dx at r + a (x − r)|, r a random reference, a ~ U(0, 1); in logits.

    n is the number of gradients within `attribution_passes`. References are the trial's training images; without any,
    the all-zero image, which makes this a random quadrature of integrated gradients. All images meet the same n pairs
    (r, a). No noise is added to the image, as by captum's default.

    Source: Erion et al., Nat. Mach. Intell. 2021, equation 3 (expected gradients); Lundberg & Lee, NeurIPS 2017.
    """

    smoothing = 1.0
    draws = True

    def passes(self, images: Images) -> int:
        return self.gradients * FORWARD_AND_BACKWARD

    def maps(self, model: Classifier, images: Images, targets: Targets) -> Maps:
        rng, n = self.rng(), self.gradients
        known = images.new_zeros(1, *images.shape[1:]) if self.references is None else self.references
        # Select first, so that only n references are copied to the model's device.
        references = known[torch.randint(len(known), (n,), generator=rng).to(known.device)].to(images)
        places = torch.rand(n, generator=rng).tolist()

        def expected(x: Tensor, y: Tensor) -> Tensor:
            total = torch.zeros_like(x)
            for reference, place in zip(references, places, strict=True):
                total += (x - reference) * gradient(model, reference + place * (x - reference), y)
            return as_map(total / n)

        return in_batches(expected, images, targets)
