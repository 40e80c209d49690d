"""Plain CNN: four convolutions, without batch normalisation."""

from torch import nn

from trainables.models import Classifier


class PlainCNN(Classifier):
    """Four 3 x 3 convolutions with ReLU, of 32, 32, 64 and 64 channels and strides 1, 2, 1, 2."""

    feature_size = 64

    def build_trunk(self, channels: int) -> nn.Module:
        layers: list[nn.Module] = []
        for width, stride in ((32, 1), (32, 2), (64, 1), (64, 2)):
            layers += [nn.Conv2d(channels, width, kernel_size=3, stride=stride, padding=1), nn.ReLU()]
            channels = width
        return nn.Sequential(*layers)
