"""Many classifiers of one architecture as one: their channels side by side."""

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainables.batch import Output
from trainables.models import Classifier
from trainables.packing.grouped_convolution import Geometry, grouped_convolution


class StackedModel(nn.Module):
    """K classifiers of one architecture, none of which sees another's images, weights or batch statistics.

    The architecture itself runs on K times its channels. Its convolutions have K groups; batch normalisation, ReLU and
    pooling work channel by channel and stay as they are; the last layer is one matrix a member. Each of its tensors is
    its members' along the first axis, one after the other.

    The members' weights are copied in; `write_back` copies them out.
    """

    def __init__(self, models: Sequence[Classifier]):
        """
        Args:
            models: of one class and one shape, on one device, at least one.

        Raises:
            TypeError: an architecture with a layer that cannot be stacked.
        """
        super().__init__()
        self.members = len(models)
        self.model = copy.deepcopy(models[0])
        _replace_layers(self.model, self.members)
        states = [model.state_dict() for model in models]
        for module_name, module in self.model.named_modules():
            prefix = f"{module_name}." if module_name else ""
            own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
            for name, tensor in own:
                # A counter has no axis; it becomes one number a member.
                parts = [torch.atleast_1d(state[prefix + name]) for state in states]
                stacked = torch.cat([part.contiguous() for part in parts])
                if isinstance(tensor, nn.Parameter):
                    setattr(module, name, nn.Parameter(stacked))
                else:
                    module.register_buffer(name, stacked)

    def forward(self, images: Float[Tensor, "members batch channels height width"]) -> Output:
        """Each member's answer to its own images: logits [members, batch, classes], features likewise."""
        logits, features = self.model(images.transpose(0, 1).flatten(1, 2))
        return Output(self._by_member(logits), self._by_member(features))

    def write_back(self, member: int, model: Classifier) -> None:
        """Copy one member's weights and statistics to the model that stands for it."""
        with torch.no_grad():
            own = model.state_dict()
            for name, tensor in self.model.state_dict().items():
                own[name].copy_(tensor.chunk(self.members)[member].view_as(own[name]))

    def _by_member(self, values: Float[Tensor, "batch all_n"]) -> Float[Tensor, "members batch n"]:
        return values.unflatten(1, (self.members, -1)).transpose(0, 1)


class StackedConvolution(nn.Module):
    """The same convolution of each member, as one of `members` groups."""

    def __init__(self, layer: nn.Conv2d, members: int):
        super().__init__()
        self.weight = layer.weight
        pairs = (layer.stride, layer.padding, layer.dilation)
        self.geometry: Geometry = (*pairs, members)  # type: ignore[assignment]

    def forward(self, maps: Float[Tensor, "batch all_channels height width"]) -> Float[Tensor, "batch all_out h w"]:
        return grouped_convolution(maps, self.weight, self.geometry)


class StackedLinear(nn.Module):
    """The same linear layer of each member."""

    def __init__(self, layer: nn.Linear, members: int):
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.members = members

    def forward(self, features: Float[Tensor, "batch all_features"]) -> Float[Tensor, "batch all_classes"]:
        weight = self.weight.unflatten(0, (self.members, -1))
        parts = features.unflatten(1, (self.members, -1))
        return torch.einsum("bmf,mcf->bmc", parts, weight).flatten(1) + self.bias


CHANNELWISE = (nn.BatchNorm2d, nn.ReLU, nn.Identity, nn.AdaptiveAvgPool2d)
"""Layers that do the same with K times the channels."""


def _replace_layers(module: nn.Module, members: int) -> None:
    for name, layer in module.named_children():
        if isinstance(layer, nn.Conv2d) and layer.bias is None and layer.groups == 1:
            setattr(module, name, StackedConvolution(layer, members))
        elif isinstance(layer, nn.Linear) and layer.bias is not None:
            setattr(module, name, StackedLinear(layer, members))
        elif any(True for _ in layer.children()):
            _replace_layers(layer, members)
        elif not isinstance(layer, CHANNELWISE):
            raise TypeError(f"{name}: {layer} cannot be stacked; leave its model out of STACKED_MODELS")
