"""GAIN, guided attention inference: attention falls on the mask, and without the attended pixels the class is lost."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options
from trainables.core.departure import Departure
from trainables.methods.method import Penalty
from trainables.methods.parts.altered import frozen_running_statistics
from trainables.methods.parts.grad_cam import grad_cam, unit_range
from trainables.methods.parts.region import mean_over, outside_pixels
from trainables.methods.parts.shapes import Images
from trainables.models import Classifier


class GAINOptions(Options):
    gain_mining_weight: float = Field(1.0, ge=0, allow_inf_nan=False, description="alpha, weight of the mining term")
    gain_map_weight: float = Field(
        10.0, ge=0, allow_inf_nan=False, description="w, weight of the map's distance to the mask"
    )
    gain_slope: float = Field(10.0, gt=0, allow_inf_nan=False, description="omega, slope of the soft threshold")
    gain_threshold: float = Field(0.5, ge=0, le=1, description="sigma, the threshold on the map's range [0, 1]")


def without_attended(images: Images, maps: Float[Tensor, "batch height width"], options: GAINOptions) -> Images:
    """x − T(A) · x, T(A) = sigmoid(omega · (A − sigma))."""
    attended = (options.gain_slope * (maps - options.gain_threshold)).sigmoid()
    return images - attended[:, None] * images


class GAIN(Penalty):
    """CE(f(x), y) + strength · (alpha · p_y(x − T(A) · x) + w · MSE(A, M)), A the Grad-CAM map of the true class.

    A is resized to the image (bilinear) and scaled to [0, 1]; gradients reach it through both terms. Attended pixels
    become zero, as in the source. MSE is a mean over pixels; it is 0 for an image without outside pixels, and an image
    without a mask under the policy `outside` has M = 0. The mining pass leaves batch normalisation's running statistics
    alone.

    Source: Li et al., CVPR 2018, the extended form with masks, with its alpha, w, omega and sigma.
    """

    departures = (
        Departure(
            "the mining term is the score of the class",
            "its probability: a classifier with softmax can lower a score without bound",
            "none",
        ),
    )

    reads_preset = False
    strengths = (1e-2, 1e1)
    Options = GAINOptions
    options: GAINOptions

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        last = model.trunk(batch.images)
        logits = model.read(last).logits
        small = grad_cam(logits.gather(1, batch.labels[:, None])[:, 0], last)
        size = batch.images.shape[2:]
        maps = unit_range(interpolate(small[:, None], size, mode="bilinear", align_corners=False)[:, 0])
        with frozen_running_statistics(model):
            rest = model(without_attended(batch.images, maps, self.options)).logits.softmax(dim=1)
        mining = mean_over(rest.gather(1, batch.labels[:, None])[:, 0], takes_part)
        error = (maps - (~outside[:, 0]).to(maps.dtype)).square().mean(dim=(1, 2))
        distance = mean_over(error * outside.flatten(1).any(dim=1), takes_part)
        penalty = self.options.gain_mining_weight * mining + self.options.gain_map_weight * distance
        return Loss(cross_entropy(logits, batch.labels), penalty)
