"""Attributions made of input gradients: at the image, along a path to it, around it, or propagated otherwise."""

import warnings
from typing import Any, ClassVar

import torch
from captum.attr import DeepLift as CaptumDeepLift
from captum.attr import GuidedBackprop as CaptumGuidedBackprop
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from torch import nn

from trainables.core.batch import MOST_AT_ONCE
from trainables.core.shapes import Images, Labels, Maps
from trainables.models import Classifier
from trainables.saliency.attribution.attribution import (
    FORWARD_AND_BACKWARD,
    Attribution,
    Logits,
    as_map,
    gradient,
    in_batches,
    target_logits,
)

NOISE = 0.15
"""Standard deviation of SmoothGrad's noise relative to the image's range; the source recommends 0.1 to 0.2."""


INCOMPLETE = 0.05
"""Relative difference from which DeepLift's contributions count as wrong."""


class InputGradient(Attribution):
    """|d f_y / dx|, in logits per unit of pixel value. Source: Simonyan et al., arXiv:1312.6034."""

    smoothing = 1.0

    def batch_maps(self, model: Classifier, images: Images, targets: Labels) -> Maps:
        return as_map(gradient(model, images, targets))


class InputXGradient(Attribution):
    """|x · d f_y / dx|, in logits. Source: Shrikumar et al., arXiv:1605.01713, section 3."""

    smoothing = 1.0

    def batch_maps(self, model: Classifier, images: Images, targets: Labels) -> Maps:
        return as_map(images * gradient(model, images, targets))


class IntegratedGradients(Attribution):
    """|x · integral over a in [0, 1] of d f_y(a x) / dx|, in logits; Gauss-Legendre quadrature.

    The baseline is the all-zero image, `integrated_gradients_steps` points (the paper: 200).

    Source: Sundararajan et al., ICML 2017, equation 1.
    """

    smoothing = 1.0

    def passes(self, images: Images) -> int:
        return self.config.integrated_gradients_steps * FORWARD_AND_BACKWARD

    def maps(self, model: Classifier, images: Images, targets: Labels) -> Maps:
        method = CaptumIntegratedGradients(Logits(model), multiply_by_inputs=True)
        points = max(1, MOST_AT_ONCE // len(images))

        def attribute(images: Images, targets: Labels) -> Maps:
            attribution = method.attribute(
                images,
                target=targets,
                n_steps=self.config.integrated_gradients_steps,
                # Points that are added up together change the last bits of the sum.
                internal_batch_size=points * len(images),
            )
            return as_map(attribution.to(images.dtype))

        return in_batches(attribute, images, targets)


class SampledGradients(Attribution):
    """A mean of as many gradients as `attribution_passes` allows, at points drawn once for all images."""

    smoothing = 1.0
    draws = True

    @property
    def gradients(self) -> int:
        """Gradients per image; at least 1."""
        return max(1, self.config.attribution_passes // FORWARD_AND_BACKWARD)

    def passes(self, images: Images) -> int:
        return self.gradients * FORWARD_AND_BACKWARD


class SmoothGrad(SampledGradients):
    """|mean over n of d f_y / dx at x + noise|, in logits per unit of pixel value.

    Noise ~ N(0, (0.15 (max x − min x))²); n is the number of gradients within `attribution_passes`. The mean is of
    signed gradients. All images meet the same n noise patterns.

    Source: Smilkov et al., arXiv:1706.03825, section 3.
    """

    def batch_maps(self, model: Classifier, images: Images, targets: Labels) -> Maps:
        noises = torch.randn(self.gradients, *images.shape[1:], generator=self.rng()).to(images)
        spread = NOISE * (images.flatten(1).amax(dim=1) - images.flatten(1).amin(dim=1))[:, None, None, None]
        total = torch.zeros_like(images)
        for noise in noises:
            total += gradient(model, images + spread * noise, targets)
        return as_map(total / len(noises))


class GradientShap(SampledGradients):
    """|mean over n of (x − r) · d f_y / dx at r + a (x − r)|, r a random reference, a ~ U(0, 1); in logits.

    n is the number of gradients within `attribution_passes`. References are the trial's training images; without any,
    the all-zero image, which makes this a random quadrature of integrated gradients. All images meet the same n pairs
    (r, a). No noise is added to the image, as by captum's default.

    Source: Erion et al., Nat. Mach. Intell. 2021, equation 3 (expected gradients); Lundberg & Lee, NeurIPS 2017.
    """

    def batch_maps(self, model: Classifier, images: Images, targets: Labels) -> Maps:
        rng, n = self.rng(), self.gradients
        known = images.new_zeros(1, *images.shape[1:]) if self.references is None else self.references
        # Select first, so that only n references are copied to the model's device.
        references = known[torch.randint(len(known), (n,), generator=rng)].to(images)
        total = torch.zeros_like(images)
        for reference, place in zip(references, torch.rand(n, generator=rng).tolist(), strict=True):
            difference = images - reference
            total += difference * gradient(model, reference + place * difference, targets)
        return as_map(total / n)


class ChangedBackpropagation(Attribution):
    """The absolute value of what captum's `method` attributes."""

    smoothing = 1.0
    method: ClassVar[Any]

    def batch_maps(self, model: Classifier, images: Images, targets: Labels) -> Maps:
        return as_map(self.attribute(model, images, targets))

    def attribute(self, model: Classifier, images: Images, targets: Labels) -> Images:
        """What captum attributes to each pixel."""
        with warnings.catch_warnings():
            # The warnings are about hooks on activations, which captum removes after the call.
            warnings.filterwarnings("ignore", message="Setting (forward, )?backward hooks")
            inputs = images.detach().clone().requires_grad_()
            return self.method(Logits(model)).attribute(inputs, target=targets)


class DeepLift(ChangedBackpropagation):
    """|contribution of each pixel to f_y(x) − f_y(0)| by the rescale rule, in logits.

    A model's activations must be separate modules and not in-place, as those of a `Classifier` are.

    Source: Shrikumar et al., ICML 2017, section 3.5.1 (rescale rule), as implemented in captum.
    """

    method = CaptumDeepLift

    def check(self, model: Classifier, images: Images) -> None:
        targets = torch.zeros(len(images), dtype=torch.long)
        contributions = self.attribute(model, images, targets).flatten(1).sum(dim=1)
        with torch.no_grad():
            difference = (target_logits(model, images, targets) - target_logits(model, 0 * images, targets)).abs()
        if ((contributions.abs() - difference).abs() > INCOMPLETE * difference.clamp(min=1e-3)).any():
            raise ValueError("contributions do not add up to the change of the logit, as a layer has no rule")

    def passes(self, images: Images) -> int:
        return 2 * FORWARD_AND_BACKWARD


class GuidedBackprop(ChangedBackpropagation):
    """|d f_y / dx| where each ReLU propagates positive gradients only, in logits per unit of pixel value.

    A network without ReLU modules is refused. It hardly depends on the weights of high layers (Adebayo
    et al., NeurIPS 2018); `randomisation_check` measures how much.

    Source: Springenberg et al., ICLR workshop 2015, arXiv:1412.6806, figure 1, as implemented in captum.
    """

    method = CaptumGuidedBackprop

    def check(self, model: Classifier, images: Images) -> None:
        if not any(isinstance(module, nn.ReLU) for module in model.modules()):
            raise ValueError("it has no ReLU, without which the map is the input gradient")
