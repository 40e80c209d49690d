"""Grad-CAM of a layer of one's choice."""

from functools import cache

import torch
from torch import nn

from trainables.core.errors import ConfigurationError
from trainables.models import MODELS, Classifier
from trainables.saliency.attribution.grad_cam import GradCam


class LayerGradCam(GradCam):
    """As `grad_cam`, of the map that the module `grad_cam_layer` returns; its size is `map_size.layer_grad_cam`.

    Earlier layers have finer maps that say less about the class. The default, trunk.5, has 14 x 14 pixels at 28 x 28
    in both models.

    Source: Selvaraju et al., ICCV 2017, section 3 and figure 13 (other layers).
    """

    def layer(self, model: Classifier) -> nn.Module:
        return model.get_submodule(self.config.grad_cam_layer)


def check_layer(model: str, layer: str) -> None:
    """Whether the model `model` has a module `layer` that returns a map.

    Raises:
        ConfigurationError: it has not; the message names those that it has.
    """
    allowed = _layers(model)
    if layer not in allowed:
        raise ConfigurationError(
            f"unknown grad_cam_layer {layer!r} of model {model!r}; choose from {', '.join(allowed)}"
        )


@cache
def _layers(model: str) -> tuple[str, ...]:
    # On the meta device a model has shapes and no weights, so that it costs next to nothing.
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        trunk = MODELS[model](1, 2).trunk
    return tuple(f"trunk.{name}" for name, _ in trunk.named_modules() if name)
