"""Classifiers: images [batch, channels, height, width] to an Output of logits and pooled features.

A model's name is one of MODELS, timm:NAME, torchvision:NAME, or module:function for a network of the user's own.
To add a built-in one: a file with a subclass of Classifier, and one line here. From another package: docs/extending.md.
"""

from trainables.core.errors import ConfigurationError, did_you_mean, shortened
from trainables.core.registry import Registry, subclass_of
from trainables.models.classifier import Classifier
from trainables.models.classifier import Inputs as Inputs
from trainables.models.libraries import Library, Own, Timm, TorchVision
from trainables.models.resnet18 import ResNet18
from trainables.models.small_cnn import SmallCNN

_BUILT_IN: dict[str, type[Classifier]] = {
    "resnet18": ResNet18,
    "small_cnn": SmallCNN,
}
MODELS = Registry("models", _BUILT_IN, subclass_of(Classifier))
LIBRARIES: dict[str, Library] = {"timm": Timm(), "torchvision": TorchVision()}


def library_of(model: object) -> tuple[Library, str] | None:
    """The library of a model and the model's name there; None for a name in MODELS.

    Raises:
        ConfigurationError: there is no such model.
    """
    if isinstance(model, str) and ":" in model:
        prefix, _, name = model.partition(":")
        library, name = (LIBRARIES[prefix], name) if prefix in LIBRARIES else (Own(), model)
        library.check(name)
        return library, name
    if not isinstance(model, str) or model not in MODELS:
        names = [*MODELS, *(f"{prefix}:{name}" for prefix, library in LIBRARIES.items() for name in library.names())]
        endings = [name for name in names if isinstance(model, str) and name.endswith(f":{model}")]
        hint = f"did you mean {' or '.join(map(repr, endings))}? " if endings else did_you_mean(str(model), names)
        raise ConfigurationError(
            f"unknown model {shortened(model)}; {hint}choose from {', '.join(sorted(MODELS))}, timm:NAME, "
            "torchvision:NAME, or module:function for a network of your own (docs/networks.md)"
        )
    return None


def build(model: str, inputs: Inputs) -> Classifier:
    """The model with weights drawn from torch's global generator; raises as `library_of`."""
    of_library = library_of(model)
    if of_library is None:
        return MODELS[model](inputs.channels, inputs.classes)
    library, name = of_library
    try:
        return library.build(name, inputs)
    except ConfigurationError:
        raise
    except Exception as error:
        size = f"{inputs.side} x {inputs.side} pixels"
        raise ConfigurationError(
            f"model {model!r} cannot be made for images of {size}: {type(error).__name__}: {error}; choose the size "
            "that it was published for, or another network"
        ) from error
