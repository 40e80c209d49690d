"""One small network for each family that people fine-tune, and what the project cannot do on it."""

from typing import NamedTuple


class Family(NamedTuple):
    """What is known of a network, worked out from its architecture."""

    last_map: tuple[int, int, int]
    """Features, rows and columns of the last map of an image of 64 x 64 pixels."""
    head: str
    """The name of its last layer in its library."""
    finer_layer: str
    no_second_derivative: bool = False
    unexplained: frozenset[str] = frozenset({"deep_lift"})
    """Attributions without a rule for one of its layers."""


NO_RELU = frozenset({"deep_lift", "guided_backprop"})
WALKING = {"cdep", "ibp_ex"}
"""Methods with a rule for each layer of the built-in networks."""
FAMILIES = {
    "timm:resnet10t": Family((512, 2, 2), "fc", "layer3"),
    "timm:resnet26": Family((2048, 2, 2), "fc", "layer3"),
    "timm:densenet121": Family((1024, 2, 2), "classifier", "features.denseblock3"),
    "timm:efficientnet_b0": Family((1280, 2, 2), "classifier", "blocks.4", unexplained=NO_RELU),
    "timm:convnext_atto": Family((320, 2, 2), "head.fc", "stages.3.downsample.0", unexplained=NO_RELU),
    "timm:vit_tiny_patch16_224": Family((192, 4, 4), "head", "patch_embed.proj", unexplained=NO_RELU),
    "timm:swin_tiny_patch4_window7_224": Family((768, 2, 2), "head.fc", "patch_embed.proj", unexplained=NO_RELU),
    "torchvision:mobilenet_v3_small": Family(
        (576, 2, 2), "classifier.3", "features.9.block.0", no_second_derivative=True, unexplained=frozenset()
    ),
}
SIDE = 64
