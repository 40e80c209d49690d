"""Classifiers: images [batch, channels, height, width] to an Output of logits and pooled features.

To add one: a file with a subclass of Classifier, and one line here. From another package: docs/extending.md.
"""

from trainables.core.registry import Registry, subclass_of
from trainables.models.classifier import Classifier
from trainables.models.resnet18 import ResNet18
from trainables.models.small_cnn import SmallCNN

_BUILT_IN: dict[str, type[Classifier]] = {
    "resnet18": ResNet18,
    "small_cnn": SmallCNN,
}
MODELS = Registry("models", _BUILT_IN, subclass_of(Classifier))
