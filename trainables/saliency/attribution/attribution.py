"""What every attribution is: from (model, images, targets) to one non-negative map an image."""

from collections.abc import Callable
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trainables.core.batch import IMAGES_AT_ONCE
from trainables.core.config import TrialConfig
from trainables.core.streams import torch_stream
from trainables.models import Classifier

FORWARD_AND_BACKWARD = 3
"""What a gradient costs, in forward passes."""


class Attribution:
    """Maps of the target class's logit, made in evaluation mode.

    What is random is drawn from a stream of the trial's seed and the attribution's name, and is the same for all images
    (noise, masks, references): a map does not depend on the images beside it.
    """

    smoothing: ClassVar[float] = 0.0
    """Sigma in pixels of the Gaussian that blurs a map before it is scored."""
    sees_model: ClassVar[bool] = True
    """Whether a map depends on the model at all; where not, it says what the images alone score."""

    def __init__(
        self, config: TrialConfig, references: Float[Tensor, "references channels height width"] | None = None
    ):
        """
        Args:
            config: the trial's.
            references: what "nothing to see" may look like, for attributions that average over it: a trial's training
                images. None: the all-zero image.
        """
        self.config = config
        self.references = references
        self.map_size: int | None = None
        """Pixels of the shorter side of the last maps before they were enlarged; None if they were not."""

    def maps(
        self,
        model: Classifier,
        images: Float[Tensor, "images channels height width"],
        targets: Int[Tensor, " images"],
    ) -> Float[Tensor, "images height width"]:
        """|attribution of the target's logit|, summed over channels; not blurred.

        Args:
            model: in evaluation mode.
            images: all are attributed; the attribution batches its own forward passes.
            targets: the class whose logit is explained, per image.
        """
        raise NotImplementedError

    @property
    def gradients(self) -> int:
        """How many gradients an image `attribution_passes` pay for; at least 1."""
        return max(1, self.config.attribution_passes // FORWARD_AND_BACKWARD)

    def rng(self) -> torch.Generator:
        """A CPU generator that starts anew with each call, so that all images of a trial meet the same draws."""
        return torch_stream(type(self).__name__, self.config.seed)


class Logits(nn.Module):
    """A model as captum wants it: images in, logits out."""

    def __init__(self, model: Classifier):
        super().__init__()
        self.model = model

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        return self.model(images).logits


def as_map(
    attribution: Float[Tensor, "images channels height width"],
) -> Float[Tensor, "images height width"]:
    """Absolute attribution summed over channels."""
    return attribution.detach().abs().sum(dim=1)


def in_batches(
    attribute: Callable[[Tensor, Tensor], Tensor],
    images: Float[Tensor, "images channels height width"],
    targets: Int[Tensor, " images"],
) -> Tensor:
    """`attribute(images, targets)` of `IMAGES_AT_ONCE` images at a time, put together again."""
    parts = zip(images.split(IMAGES_AT_ONCE), targets.split(IMAGES_AT_ONCE), strict=True)
    return torch.cat([attribute(x, y) for x, y in parts])


def gradient(
    model: Classifier,
    images: Float[Tensor, "images channels height width"],
    targets: Int[Tensor, " images"],
) -> Float[Tensor, "images channels height width"]:
    """d f_y / dx, in logits per unit of pixel value."""
    inputs = images.detach().clone().requires_grad_()
    explained = target_logits(model, inputs, targets)
    (slope,) = torch.autograd.grad(explained.sum(), inputs)
    return slope


def target_logits(
    model: Classifier,
    images: Float[Tensor, "images channels height width"],
    targets: Int[Tensor, " images"],
) -> Float[Tensor, " images"]:
    """f_y of each image."""
    return model(images).logits.gather(1, targets[:, None])[:, 0]
