"""Grad-CAM of the last convolutional map, or of a chosen layer."""

from functools import cache
from types import MappingProxyType

from captum.attr import LayerGradCam as CaptumLayerGradCam
from torch import nn
from torch.nn.functional import interpolate

from trainables.core.errors import ConfigurationError
from trainables.core.shapes import Images, Labels, Maps
from trainables.models import Classifier
from trainables.models.initialise import layers_of
from trainables.saliency.attribution.attribution import Attribution, Logits


class GradCam(Attribution):
    """ReLU(sum over channels k of w_k A_k), w_k the mean over the map of d f_y / dA_k; enlarged to the image, bilinear.

    A is what the trunk returns: 7 x 7 for small_cnn and 4 x 4 for resnet18 on 28 x 28 pixels, recorded as
    `map_size.grad_cam`. The ReLU keeps positive evidence only, so that a map may be zero everywhere; its scores are
    then NaN.

    Source: Selvaraju et al., ICCV 2017, equations 1 and 2.
    """

    may_be_zero = True

    def layer(self, model: Classifier) -> nn.Module:
        """The module whose map is used."""
        return model.trunk

    def batch_maps(self, model: Classifier, images: Images, targets: Labels) -> Maps:
        method = CaptumLayerGradCam(Logits(model), self.layer(model))
        small = method.attribute(images, target=targets, relu_attributions=True).detach()
        self.map_size = min(small.shape[2:])
        return interpolate(small, size=images.shape[2:], mode="bilinear", align_corners=False)[:, 0]


class LayerGradCam(GradCam):
    """`grad_cam` of the map that the module `grad_cam_layer` returns, recorded as `map_size.layer_grad_cam`.

    Earlier layers have finer maps that depend less on the class. The default, trunk.5, has 14 x 14 pixels at 28 x 28
    in both models.

    Source: Selvaraju et al., ICCV 2017, section 3 and figure 13 (other layers).
    """

    contract_settings = MappingProxyType({"attributions": ("layer_grad_cam",), "grad_cam_layer": "trunk.1"})

    def layer(self, model: Classifier) -> nn.Module:
        return model.get_submodule(self.config.grad_cam_layer)


def check_layer(model: str, layer: str) -> None:
    """Raise ConfigurationError, with the allowed names, unless the model has a module `layer` in its trunk."""
    allowed = _layers(model)
    if layer not in allowed:
        raise ConfigurationError(
            f"unknown grad_cam_layer {layer!r} of model {model!r}; choose from {', '.join(allowed)}"
        )


@cache
def _layers(model: str) -> tuple[str, ...]:
    trunk = layers_of(model).trunk
    return tuple(f"trunk.{name}" for name, _ in trunk.named_modules() if name)
