"""One adapter for networks of other libraries and of the user: a module from images to logits as a `Classifier`."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from trainables.core.batch import Output
from trainables.core.errors import ConfigurationError
from trainables.models.classifier import Classifier, Inputs, Map

Images = Float[Tensor, "batch channels height width"]
SMALLEST_TRACED = 128
"""Side in pixels of the image with which a network's layers are found, if the network takes it: large enough for the
last map of common networks to have more than one cell."""
NO_LAYERS = (nn.AdaptiveAvgPool2d, nn.ConstantPad2d, nn.Dropout, nn.Softmax)
"""Pooling, padding, and parts of attention whose output looks like a map."""


class Standard(NamedTuple):
    """Mean and standard deviation of each channel of the images that a library's weights expect, black 0, white 1."""

    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)


class Call(NamedTuple):
    """A module's call during a forward pass."""

    name: str
    module: nn.Module
    output: Tensor


class Adapted(Classifier):
    """A network from images to logits whose last step is a linear layer.

    Images are standardised inside the network, so that maps, probes and penalties are in pixel values; grey images are
    repeated over three channels if the network has a `standard` of three. The linear layer becomes `head`, its inputs
    h(x). The last map is that of the last layer before pooling; in a transformer the patch tokens before the last
    block, as the class token alone reads them there. Modules are made to work out of place, and attention without its
    fused kernels where images need a gradient, as these cannot be differentiated twice.
    """

    def __init__(self, network: nn.Module, inputs: Inputs, standard: Standard, name: str, fixed_side: bool):
        """`fixed_side`: the network takes images of `inputs.side` alone.

        Raises:
            ConfigurationError: the network does not take the images, has no linear layer at its end, or no map.
        """
        super(Classifier, self).__init__()
        for module in network.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]
        black, white = inputs.limits
        mean, deviation = (torch.tensor(values)[:, None, None] for values in standard)
        # (x − black) / (white − black), then minus the mean and divided by the deviation.
        self.offset: Tensor
        self.scale: Tensor
        self.register_buffer("offset", black + (white - black) * mean, persistent=False)
        self.register_buffer("scale", (white - black) * deviation, persistent=False)
        self.repeats = len(mean) if inputs.channels == 1 else 1
        if 1 < len(mean) != inputs.channels * self.repeats:
            raise ConfigurationError(
                f"model {name!r} takes images of 1 or {len(mean)} channels, not of {inputs.channels}; choose a "
                "built-in model, or a network of your own as module:function"
            )
        self.last_map = nn.Identity()
        self.name = name
        self.network = network
        self.side = inputs.side if fixed_side else None
        side = self.side or max(inputs.side, SMALLEST_TRACED)
        calls = self._trace(torch.full((1, inputs.channels, side, side), black))
        self.head_path, self.head = self._detach_head(calls, inputs.classes)
        self.feature_size = self.head.in_features
        self._find_map([call for call in calls if call.name != self.head_path])

    def forward(self, images: Images) -> Output:
        features = self._features(images)
        return Output(self.head(features), features)

    def with_map(self, images: Images) -> tuple[Map, Output]:
        maps: list[Tensor] = []
        hook = self.last_map.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
        try:
            with sdpa_kernel(SDPBackend.MATH):
                output = self(images)
        finally:
            hook.remove()
        return maps[-1], output

    @property
    def map_layer(self) -> nn.Module:
        return self.last_map

    @property
    def map_layers(self) -> Mapping[str, nn.Module]:
        return {name: self.network.get_submodule(name) for name in self.map_names}

    def _features(self, images: Images) -> Float[Tensor, "batch features"]:
        standard = (images.expand(-1, images.shape[1] * self.repeats, -1, -1) - self.offset) / self.scale
        if torch.is_grad_enabled() and images.requires_grad:
            with sdpa_kernel(SDPBackend.MATH):
                return self.network(standard)
        return self.network(standard)

    def _trace(self, image: Images) -> list[Call]:
        """The calls of the network's modules, in the order in which they end; those that return a tensor."""
        calls: list[Call] = []

        def record(name: str) -> Any:
            return lambda module, _, output: calls.append(Call(name, module, output))

        hooks = [module.register_forward_hook(record(name)) for name, module in self.network.named_modules()]
        training = self.network.training
        try:
            with torch.no_grad():
                self.network.eval()
                self._features(image)
        except Exception as error:
            raise ConfigurationError(
                f"model {self.name!r} does not take images of {' x '.join(map(str, image.shape[1:]))}: "
                f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}; set image_size to what "
                "the network was made for, or choose another"
            ) from error
        finally:
            self.network.train(training)
            for hook in hooks:
                hook.remove()
        return [call for call in calls if isinstance(call.output, Tensor)]

    def _detach_head(self, calls: list[Call], classes: int) -> tuple[str, nn.Linear]:
        """The name and the linear layer that returns the logits; an identity takes its place in the network."""
        logits = calls[-1].output if calls else None
        found = {c.name: c.module for c in calls if isinstance(c.module, nn.Linear) and c.output is logits and c.name}
        if not found:
            raise ConfigurationError(
                f"model {self.name!r} cannot be used: its logits are not the output of one nn.Linear; choose a network "
                "that ends in a linear layer"
            )
        ((name, head),) = found.items()
        if head.out_features != classes:
            raise ConfigurationError(
                f"model {self.name!r} returns {head.out_features} logits, and the data have {classes} classes; make "
                "the network with as many outputs as its argument says"
            )
        self.network.set_submodule(name, nn.Identity())
        return name, head

    def _find_map(self, calls: list[Call]) -> None:
        """Pass the output of the layer before pooling through `last_map`, as [batch, features, h, w]."""
        spatial = [call for call in calls if call.output.dim() == 4 and _grid(call.output) and call.name]
        spatial = [call for call in spatial if not isinstance(call.module, NO_LAYERS)]
        if not spatial:
            raise ConfigurationError(
                f"model {self.name!r} has no layer with a map or with patch tokens, which maps and masks need; choose "
                "a convolutional network or a vision transformer"
            )
        last = spatial[-1]
        following = calls[1 + max(place for place, call in enumerate(calls) if call is last) :]
        self.grid: tuple[int, int] | None = None
        """Cells of the patch tokens; None if the layer returns a map."""
        if (block := _block_before_last(following)) is not None:
            height, width = last.output.shape[2:]
            self.grid = height, width
            last = block
        self.channels_last = self.grid is None and _grid(last.output) == (1, 2)
        last.module.register_forward_hook(self._through_map)
        maps = {call.name: call.output.shape for call in spatial if _grid(call.output) == (2, 3)}
        self.map_names = tuple(maps)
        """Modules of the network that return a map [batch, features, h, w], in the order in which they end."""
        finer = [name for name, shape in maps.items() if shape[2] >= 2 * last.output.shape[2]]
        outside_blocks = [name for name in finer if self._is_step(name, maps)]
        self.finer_layer = [*self.map_names[-1:], *outside_blocks][-1]

    def _is_step(self, name: str, maps: Mapping[str, torch.Size]) -> bool:
        """Whether the layer is one of a sequence, rather than a part of a block that returns a coarser map."""
        parent = name.rpartition(".")[0]
        return parent not in maps or type(self.network.get_submodule(parent)) is nn.Sequential

    def _through_map(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        if self.grid is not None:
            tokens = self.grid[0] * self.grid[1]
            prefix, patches = output[:, :-tokens], output[:, -tokens:]
            maps = self.last_map(patches.transpose(1, 2).unflatten(2, self.grid))
            return torch.cat([prefix, maps.flatten(2).transpose(1, 2)], dim=1)
        if self.channels_last:
            return self.last_map(output.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.last_map(output)


def _grid(output: Tensor) -> tuple[int, int] | None:
    """The axes of rows and columns in the map of a square image; None if it is no map of several cells."""
    _, a, b, c = output.shape
    if b == c and b > 1:
        return 2, 3
    return (1, 2) if a == b and a > 1 else None


def _block_before_last(calls: list[Call]) -> Call | None:
    """The last but one of a transformer's blocks: the outermost sequence of modules with tokens of one size."""
    sequences: dict[str, list[Call]] = {}
    for call in calls:
        parent, _, _ = call.name.rpartition(".")
        if parent and call.output.dim() == 3:
            sequences.setdefault(parent, []).append(call)
    same = {
        parent: blocks
        for parent, blocks in sequences.items()
        if len(blocks) > 1 and len({type(block.module) for block in blocks}) == 1
    }
    if not same:
        return None
    return same[min(same, key=lambda parent: parent.count("."))][-2]
