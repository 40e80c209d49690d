"""A walk over a model's layers that propagates more than activations, by a rule for each type of layer."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from trainables.core.errors import ConfigurationError
from trainables.core.shapes import Images
from trainables.models import MODELS, Classifier
from trainables.models.initialise import layers_of
from trainables.models.resnet18 import BasicBlock

State = TypeVar("State")
"""A NamedTuple of tensors that are propagated together, for example the bounds of an interval."""
Affine = nn.Conv2d | nn.Linear
AVERAGES = (nn.AdaptiveAvgPool2d, nn.AvgPool2d)
TYPES: tuple[type[nn.Module], ...] = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.ReLU, nn.Identity, *AVERAGES)
"""Types of layers with a rule, besides nn.Sequential and the blocks of ResNet-18."""


class Rules(ABC, Generic[State]):
    """Propagation of a state through layers. Pooling, flattening and sums apply to each of its tensors separately."""

    @abstractmethod
    def affine(self, layer: Affine, state: State) -> State:
        """A convolution or a linear layer."""

    @abstractmethod
    def batch_norm(self, layer: nn.BatchNorm2d, state: State) -> State:
        """Batch normalisation, by the statistics of the unaltered activations."""

    @abstractmethod
    def relu(self, state: State) -> State:
        """max(x, 0)."""


def walk(model: Classifier, state: State, rules: Rules[State]) -> State:
    """Propagate the state of the images to that of the logits. `check_walk` tests whether every layer has a rule."""
    state = _through(model.pool, _through(model.trunk, state, rules), rules)
    return _through(model.head, _each(lambda maps: maps.flatten(1), state), rules)


def _through(module: nn.Module, state: State, rules: Rules[State]) -> State:
    if isinstance(module, nn.Sequential):
        for child in module:
            state = _through(child, state, rules)
        return state
    if isinstance(module, BasicBlock):
        shortcut = _through(module.shortcut, state, rules)
        for child in (module.conv1, module.bn1, module.relu1, module.conv2, module.bn2):
            state = _through(child, state, rules)
        return rules.relu(_each(torch.add, state, shortcut))
    if isinstance(module, nn.Conv2d | nn.Linear):
        return rules.affine(module, state)
    if isinstance(module, nn.BatchNorm2d):
        return rules.batch_norm(module, state)
    if isinstance(module, nn.ReLU):
        return rules.relu(state)
    if isinstance(module, AVERAGES):
        return _each(module, state)
    if isinstance(module, nn.Identity):
        return state
    raise TypeError(f"no rule for a layer of type {type(module).__name__}; call check_walk first")


def _each(function: Callable[..., Tensor], *states: Any) -> Any:
    """The state made by applying `function` to corresponding tensors of the states."""
    return type(states[0])(*map(function, *states))


def apply(
    layer: Affine, values: Float[Tensor, "batch *inputs"], weight: Float[Tensor, "..."], bias: Tensor | None
) -> Float[Tensor, "batch *outputs"]:
    """The layer with another weight and bias."""
    if isinstance(layer, nn.Linear):
        return linear(values, weight, bias)
    return conv2d(values, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)


def scale_and_shift(
    layer: nn.BatchNorm2d, values: Images
) -> tuple[Float[Tensor, "channels 1 1"], Float[Tensor, "channels 1 1"]]:
    """a, b with layer(values) = a · values + b, by the statistics of `values` in training, else by the running ones."""
    if layer.training:
        variance, mean = torch.var_mean(values, dim=(0, 2, 3), correction=0)
    else:
        variance, mean = layer.get_buffer("running_var"), layer.get_buffer("running_mean")
    scale = layer.weight * (variance + layer.eps).rsqrt()
    return scale[:, None, None], (layer.bias - mean * scale)[:, None, None]


def check_walk(method: str, model: str) -> None:
    """Raise ConfigurationError, with its name, type and the allowed types, if a layer of the model has no rule."""
    problem = _problem(model) if model in MODELS else "it is not a built-in one"
    if problem is not None:
        allowed = ", ".join(kind.__name__ for kind in TYPES)
        raise ConfigurationError(
            f"method {method!r} cannot walk through model {model!r}: {problem}; it has rules for {allowed} (with zero "
            "padding), Sequential and BasicBlock; choose another model or method, or add a rule in "
            "trainables/methods/parts/layer_walk.py"
        )


@cache
def _problem(name: str) -> str | None:
    model = layers_of(name)
    for method in ("forward", "read"):
        if getattr(type(model), method) is not getattr(Classifier, method):
            return f"it overrides {method}"
    for path, layer in (named for part in ("trunk", "pool", "head") for named in _layers(part, getattr(model, part))):
        if type(layer) not in TYPES:
            return f"layer {path} is of type {type(layer).__name__}"
        if isinstance(layer, nn.Conv2d) and layer.padding_mode != "zeros":
            return f"layer {path} has padding_mode {layer.padding_mode!r}"
        if isinstance(layer, nn.BatchNorm2d) and not (layer.affine and layer.track_running_stats):
            return f"layer {path} has no weights or no running statistics"
    return None


def _layers(path: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    if type(module) not in (nn.Sequential, BasicBlock):
        yield path, module
        return
    for name, child in module.named_children():
        yield from _layers(f"{path}.{name}", child)
