"""ResNet-18 as the paper changed it: a 3 x 3 stride-1 stem and no max-pooling."""

from jaxtyping import Float
from torch import Tensor, nn

from trainables.models.classifier import Classifier


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, ReLU after the sum. He et al., CVPR 2016, figure 2 and section 3.4."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, maps: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch out h w"]:
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(maps)))))
        return self.relu2(residual + self.shortcut(maps))


class ResNet18(Classifier):
    """Basic blocks [2, 2, 2, 2] of 64, 128, 256 and 512 channels, Kaiming fan-out initialisation, no pretraining.

    Source: He et al., CVPR 2016; stem and pooling as in Viviano et al., ICLR 2021, who found the usual 7 x 7
    stride-2 stem and max-pooling to harm localisation and gradients. The final map of a 28 x 28 image is 4 x 4;
    0.456 billion multiply-adds per image.
    """

    feature_size = 512

    def build_trunk(self, channels: int) -> nn.Module:
        layers: list[nn.Module] = [
            nn.Conv2d(channels, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
        ]
        channels = 64
        for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            layers += [BasicBlock(channels, width, stride), BasicBlock(width, width, 1)]
            channels = width
        trunk = nn.Sequential(*layers)
        for module in trunk.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        return trunk
