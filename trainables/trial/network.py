"""Whether a network can do what a trial asks of it, tried on a few random images before anything is trained."""

import copy
from functools import cache

import torch

from trainables.core.batch import Batch
from trainables.core.config import TrialConfig
from trainables.core.errors import ConfigurationError
from trainables.core.streams import torch_stream
from trainables.datasets import find_dataset
from trainables.methods import METHODS
from trainables.models import Classifier, library_of
from trainables.models.initialise import initialise, layers_of
from trainables.models.weights import RANDOM, load_weights
from trainables.saliency.attribution import ATTRIBUTIONS
from trainables.trial.data import images_of

IMAGES = 2
ENOUGH = 64
"""Side in pixels of the images that are tried, if the network takes them."""
STRIDE_ONE = {"resnet18": "torchvision:resnet18"}
"""Built-in networks that halve the image late, and the usual form of each."""
LARGE = 112
"""Side in pixels from which such a network needs gigabytes."""

_tried: dict[tuple[str, ...], None] = {}


def check_network(config: TrialConfig) -> list[str]:
    """Check the trial's network, weights, method and attributions; return advice. Each combination is tried once.

    Raises:
        ConfigurationError: the weights do not fit, or the method or an attribution does not work on the network.
    """
    side, _ = images_of(config)
    if config.weights != RANDOM:
        dataset = find_dataset(config.dataset)
        classes = dataset(dataset.Options(**config.dataset_options), config.severity, config.data_seed).classes
        _try_weights(config.model, side, classes, config.weights, config.weights_digest, config.keep_head)
    if library_of(config.model) is None:
        usual = STRIDE_ONE.get(config.model)
        return [_advice(config.model, usual, side)] if usual and side >= LARGE else []
    combinations = {
        # Without strength a penalty is not computed.
        (config.model, str(side), config.method, str(config.strength > 0), str(config.method_options)): _try_method,
        (config.model, str(side), *config.attributions): _try_attributions,
    }
    for combination, attempt in combinations.items():
        if combination not in _tried:
            attempt(config, side)
            _tried[combination] = None
    return []


def _advice(model: str, usual: str, side: int) -> str:
    return (
        f"model {model!r} is made for small images: at {side} pixels it needs about a gigabyte an image; "
        f"--set model={usual} has the usual stem"
    )


@cache
def _network(name: str, side: int) -> tuple[Classifier, torch.Tensor]:
    """The network with a random head, as some libraries start with a head of zeros, and random images."""
    rng = torch_stream("check network", 0)
    model = copy.deepcopy(layers_of(name, side))
    with torch.no_grad():
        model.head.weight.normal_(generator=rng)
    shown = model.side or min(side, ENOUGH)
    images = torch.rand(IMAGES, 1, shown, shown, generator=rng)
    try:
        model(images)
    except RuntimeError as error:
        raise ConfigurationError(
            f"model {name!r} does not take images of {side} x {side} pixels: {_reason(error)}; set image_size to what "
            "the network was made for, or choose another network"
        ) from error
    return model, images


@cache
def _try_weights(model: str, side: int, classes: int, weights: str, digest: str, keep_head: bool) -> None:
    try:
        load_weights(initialise(model, 3, classes, 0, side), model, weights, digest, keep_head)
    except ConfigurationError:
        if library_of(model) is not None:
            raise
        # A built-in network has as many channels as the images.
        load_weights(initialise(model, 1, classes, 0, side), model, weights, digest, keep_head)


def _try_method(config: TrialConfig, side: int) -> None:
    model, images = _network(config.model, side)
    model = copy.deepcopy(model).train()
    method = METHODS[config.method](config, model.feature_size)
    method.epoch = config.epochs - 1
    masks = torch.zeros_like(images, dtype=torch.bool)
    masks[:, :, : images.shape[2] // 2] = True
    labels = torch.arange(IMAGES) % 2
    try:
        loss = method.loss(model, Batch(images, labels, masks, torch_stream("check method", 0), labels))
        (loss.classification + loss.penalty).backward()
    except (RuntimeError, NotImplementedError, TypeError, AttributeError) as error:
        usable = METHODS.usable().items()
        able = sorted(name for name, other in usable if not (other.second_order or other.walks_layers))
        raise ConfigurationError(
            f"method {config.method!r} cannot train model {config.model!r}: {_reason(error)}; choose another network, "
            f"or a method that needs no second derivatives: {', '.join(able)}"
        ) from error


def _try_attributions(config: TrialConfig, side: int) -> None:
    model, images = _network(config.model, side)
    for name in config.attributions:
        try:
            ATTRIBUTIONS[name](config).check(model, images)
        except (RuntimeError, AssertionError, ValueError) as error:
            raise ConfigurationError(
                f"attribution {name!r} cannot explain model {config.model!r}: {_reason(error)}; leave it out, for "
                "example --set attributions=input_gradient,integrated_gradients,grad_cam"
            ) from error


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
