"""RRR on Grad-CAM: the map of the predicted class is small outside the mask."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.config import Preset
from trainables.methods.method import Penalty
from trainables.methods.parts.grad_cam import grad_cam, share_of_cells, unit_range
from trainables.methods.parts.region import mean_over, outside_pixels
from trainables.methods.parts.shapes import Scalar, TakesPart
from trainables.models import Classifier


def rrr_grad_cam_penalty(
    maps: Float[Tensor, "batch h w"], outside: Float[Tensor, "batch h w"], takes_part: TakesPart, preset: Preset
) -> Scalar:
    """Squared maps outside the mask; both in [0, 1], `outside` the share of a cell's pixels outside.

    `paper`: sum over batch and cells of (A · S)^2. `fixed`: sum (A · S)^2 / sum S of each image, then the mean over
    images; zero where an image has no outside.
    """
    squares = (maps * outside).square().sum(dim=(1, 2))
    if preset == "paper":
        return squares.sum()
    area = outside.sum(dim=(1, 2))
    return mean_over(squares / area.where(area > 0, area.new_ones(())), takes_part)


class RRRGradCAM(Penalty):
    """CE(f(x), y) + strength · (norm01(Grad-CAM of the predicted class) · S)^2, summed (`paper`) or averaged (`fixed`).

    Source: Schramowski et al., Nature Machine Intelligence 2020 (RRR with Grad-CAM in place of input gradients), a sum.
    Here norm01 scales each map from its minimum to its maximum, and S at the map's resolution is a share of pixels.
    """

    strengths = (1e-1, 1e2)

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        last = model.trunk(batch.images)
        logits = model.read(last).logits
        maps = unit_range(grad_cam(logits.amax(dim=1), last))
        penalty = rrr_grad_cam_penalty(maps, share_of_cells(outside, maps), takes_part, self.config.preset)
        return Loss(cross_entropy(logits, batch.labels), penalty)
