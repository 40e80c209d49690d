"""Grad-CAM of the last convolutional map."""

from captum.attr import LayerGradCam as CaptumLayerGradCam
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import interpolate

from trainables.models import Classifier
from trainables.saliency.attribution.attribution import Attribution, Logits, in_batches


class GradCam(Attribution):
    """ReLU(sum over channels k of w_k A_k), w_k the mean over the map of d f_y / dA_k; enlarged to the image, bilinear.

    A is what the trunk returns: 7 x 7 for small_cnn and 4 x 4 for resnet18 on 28 x 28 pixels; the record has it as
    `map_size.grad_cam`. As the ReLU leaves positive evidence alone, a map may be zero everywhere; its scores are then
    NaN.

    Source: Selvaraju et al., ICCV 2017, equations 1 and 2.
    """

    def layer(self, model: Classifier) -> nn.Module:
        """The module whose map is taken."""
        return model.trunk

    def maps(
        self,
        model: Classifier,
        images: Float[Tensor, "images channels height width"],
        targets: Int[Tensor, " images"],
    ) -> Float[Tensor, "images height width"]:
        method = CaptumLayerGradCam(Logits(model), self.layer(model))

        def coarse(x: Tensor, y: Tensor) -> Tensor:
            return method.attribute(x, target=y, relu_attributions=True).detach()

        small = in_batches(coarse, images, targets)
        self.map_size = min(small.shape[2:])
        return interpolate(small, size=images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
