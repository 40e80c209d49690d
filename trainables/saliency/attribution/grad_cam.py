"""Grad-CAM of the last convolutional map, or of a chosen layer."""

from types import MappingProxyType

from captum.attr import LayerGradCam as CaptumLayerGradCam
from torch import nn
from torch.nn.functional import interpolate

from trainables.core.config import AUTO
from trainables.core.errors import ConfigurationError
from trainables.core.shapes import Images, Labels, Maps
from trainables.models import Classifier
from trainables.models.initialise import layers_of
from trainables.saliency.attribution.attribution import Attribution, Logits


class GradCam(Attribution):
    """ReLU(sum over channels k of w_k A_k), w_k the mean over the map of d f_y / dA_k; enlarged to the image, bilinear.

    A is the network's last map: 7 x 7 for small_cnn and 4 x 4 for resnet18 on 28 x 28 pixels, recorded as
    `map_size.grad_cam`; in a transformer the patch tokens before the last block. The ReLU keeps positive evidence
    only, so that a map may be zero everywhere; its scores are then NaN.

    Source: Selvaraju et al., ICCV 2017, equations 1 and 2.
    """

    may_be_zero = True

    def layer(self, model: Classifier) -> nn.Module:
        """The module whose map is used."""
        return model.map_layer

    def batch_maps(self, model: Classifier, images: Images, targets: Labels) -> Maps:
        method = CaptumLayerGradCam(Logits(model), self.layer(model))
        small = method.attribute(images, target=targets, relu_attributions=True).detach()
        self.map_size = min(small.shape[2:])
        return interpolate(small, size=images.shape[2:], mode="bilinear", align_corners=False)[:, 0]


class LayerGradCam(GradCam):
    """`grad_cam` of the map that the module `grad_cam_layer` returns, recorded as `map_size.layer_grad_cam`.

    Earlier layers have finer maps that depend less on the class. The default, `auto`, is trunk.5 of the built-in
    networks, with 14 x 14 pixels at 28 x 28; of others the last step with a map at least twice as fine as the last.

    Source: Selvaraju et al., ICCV 2017, section 3 and figure 13 (other layers).
    """

    contract_settings = MappingProxyType({"attributions": ("layer_grad_cam",), "grad_cam_layer": "trunk.1"})

    def layer(self, model: Classifier) -> nn.Module:
        name = self.config.grad_cam_layer
        return model.map_layers[model.finer_layer if name == AUTO else name]


def check_layer(model: str, layer: str, side: int) -> None:
    """Raise ConfigurationError, with the allowed names, unless the model has a module `layer` with a map."""
    allowed = (AUTO, *layers_of(model, side).map_layers)
    if layer not in allowed:
        raise ConfigurationError(
            f"unknown grad_cam_layer {layer!r} of model {model!r}; choose from {', '.join(allowed)}"
        )
