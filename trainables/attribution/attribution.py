"""What every attribution is: from (model, images, targets) to one non-negative map an image."""

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.models import Classifier


class Attribution:
    """Maps of the target class's logit, made in evaluation mode."""

    smoothing: ClassVar[float] = 0.0
    """Sigma in pixels of the Gaussian that blurs a map before it is scored."""

    def __init__(self, config: TrialConfig):
        self.config = config

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
