"""The base of all attributions: from (model, images, targets) to one non-negative map per image."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from trainables.core.batch import parts
from trainables.core.config import TrialConfig
from trainables.core.shapes import Images, Labels, Maps, PerImage
from trainables.core.streams import torch_stream
from trainables.datasets.mapped import Source
from trainables.models import Classifier

FORWARD_AND_BACKWARD = 3
"""Cost of a gradient in forward passes."""


class Attribution:
    """Maps of the target class's logit, computed in evaluation mode.

    Random draws (noise, masks, references) come from a stream of the trial's seed and the attribution's name. They are
    the same for all images, so that a map does not depend on the images beside it.
    """

    smoothing: ClassVar[float] = 0.0
    """Sigma in pixels, at 28 x 28, of the Gaussian that smooths a map before it is scored."""
    sees_model: ClassVar[bool] = True
    """False if maps do not depend on the model: a baseline of what the images alone would score."""
    draws: ClassVar[bool] = False
    """True if maps depend on random draws."""
    may_be_zero: ClassVar[bool] = False
    """True if a map can be all zero although the model is not constant."""
    contract_settings: ClassVar[Mapping[str, object]] = {}
    """Settings that the contract tests add, whose toy models have few layers."""

    def __init__(self, config: TrialConfig, references: Source | None = None):
        """`references` are the trial's training images, for attributions that average over baseline images; None for
        the all-zero image."""
        self.config = config
        self.references = references
        self.map_size: int | None = None
        """Shorter side in pixels of the last maps before they were enlarged; None if they were not."""

    def maps(self, model: Classifier, images: Images, targets: Labels) -> Maps:
        """|attribution of the target's logit|, summed over channels; not blurred.

        The model is in evaluation mode. The images, of any number, are split into batches for `batch_maps`.
        """
        return in_batches(partial(self.batch_maps, model), images, targets)

    def batch_maps(self, model: Classifier, images: Images, targets: Labels) -> Maps:
        """The maps of at most `at_once` images."""
        raise NotImplementedError

    def check(self, model: Classifier, images: Images) -> None:
        """Raise ValueError if the maps of this model, which is not a built-in one, would not be what they should."""

    def passes(self, images: Images) -> int:
        """Mean cost of a map of one of these images in forward passes, for estimates; a gradient by default."""
        return FORWARD_AND_BACKWARD if self.sees_model else 0

    @property
    def sigma(self) -> float:
        """Sigma in pixels of the Gaussian that smooths this trial's maps before they are scored."""
        return self.smoothing * self.config.blur_scale

    def rng(self) -> torch.Generator:
        """A CPU generator that restarts with each call, so that all images of a trial get the same draws."""
        return torch_stream(type(self).__name__, self.config.seed)


def maps_of(attribution: Attribution, model: Classifier, images: Images, targets: Labels) -> Maps:
    """As `Attribution.maps`, but returns no maps for no images, which captum cannot explain."""
    return attribution.maps(model, images, targets) if len(images) else torch.zeros_like(images[:, 0])


class Logits(nn.Module):
    """Wrapper for captum that maps images to logits."""

    def __init__(self, model: Classifier):
        super().__init__()
        self.model = model

    def forward(self, images: Images) -> Tensor:
        return self.model(images).logits


def as_map(attribution: Images) -> Maps:
    """Absolute attribution summed over channels."""
    return attribution.detach().abs().sum(dim=1)


def in_batches(attribute: Callable[[Tensor, Tensor], Tensor], images: Images, targets: Labels) -> Tensor:
    """`attribute(images, targets)`, computed for `at_once` images at a time."""
    several = parts(len(images), images.shape, images.device)
    return torch.cat([attribute(images[part], targets[part]) for part in several])


def gradient(model: Classifier, images: Images, targets: Labels) -> Images:
    """d f_y / dx, in logits per unit of pixel value."""
    inputs = images.detach().clone().requires_grad_()
    with torch.enable_grad():
        explained = target_logits(model, inputs, targets).sum()
    (slope,) = torch.autograd.grad(explained, inputs)
    return slope


def target_logits(model: Classifier, images: Images, targets: Labels) -> PerImage:
    """f_y of each image."""
    return model(images).logits.gather(1, targets[:, None])[:, 0]
