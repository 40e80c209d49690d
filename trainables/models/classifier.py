"""The base of all models: a convolutional trunk, global average pooling, one linear layer."""

from collections.abc import Mapping
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from trainables.core.batch import Output

Map = Float[Tensor, "batch features h w"]


class Inputs(NamedTuple):
    """The images that a network is made for."""

    channels: int
    classes: int
    side: int
    """In pixels."""
    limits: tuple[float, float]
    """Pixel values of black and white."""


class Classifier(nn.Module):
    """A convolutional trunk, the mean over its last map as features h(x), and logits linear in the features.

    Activations are separate modules and not in place, so that attributions can hook each of them and penalties on
    input gradients can be differentiated again.
    """

    feature_size: int
    """Length of the feature vector h(x)."""
    finer_layer: str = "trunk.5"
    """The name in `map_layers` of a layer with a finer map than the last one."""
    made_for: Inputs
    side: int | None = None
    """Side in pixels of the only images that the network takes; None if it takes any."""
    frozen: tuple[nn.Module, ...] = ()
    """Modules that stay in evaluation mode."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.trunk = self.build_trunk(channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(self.feature_size, classes)

    def build_trunk(self, channels: int) -> nn.Module:
        """The convolutions: images [batch, channels, height, width] to maps [batch, feature_size, h, w]."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> "Classifier":
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Output:
        return self.read(self.trunk(images))

    def read(self, maps: Map) -> Output:
        """Features and logits from the trunk's last map."""
        features = self.pool(maps).flatten(1)
        return Output(self.head(features), features)

    def with_map(self, images: Float[Tensor, "batch channels height width"]) -> tuple[Map, Output]:
        """The last map, and the output that is computed from it."""
        maps = self.trunk(images)
        return maps, self.read(maps)

    @property
    def map_layer(self) -> nn.Module:
        """The module that returns the last map."""
        return self.trunk

    @property
    def map_layers(self) -> Mapping[str, nn.Module]:
        """Every module that may return a map, by name, from the image to the last map."""
        return {f"trunk.{name}": module for name, module in self.trunk.named_modules() if name}
