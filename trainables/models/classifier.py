"""The base of all models: a convolutional trunk, global average pooling, one linear layer."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from trainables.core.batch import Output


class Classifier(nn.Module):
    """A convolutional trunk, the mean over its last map as features h(x), and logits linear in the features.

    Activations are separate modules and not in place, so that attributions can hook each of them and penalties on
    input gradients can be differentiated again.
    """

    feature_size: ClassVar[int]
    """Length of the feature vector h(x)."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.trunk = self.build_trunk(channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(self.feature_size, classes)

    def build_trunk(self, channels: int) -> nn.Module:
        """The convolutions: images [batch, channels, height, width] to maps [batch, feature_size, h, w]."""
        raise NotImplementedError

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Output:
        return self.read(self.trunk(images))

    def read(self, maps: Float[Tensor, "batch features h w"]) -> Output:
        """Features and logits from the trunk's last map, for methods that look at that map."""
        features = self.pool(maps).flatten(1)
        return Output(self.head(features), features)
