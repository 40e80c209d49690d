"""RRR on Grad-CAM: the map of the predicted class is small outside the mask."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.config import Preset, TrialConfig
from trainables.core.departure import Departure
from trainables.methods.method import Penalty
from trainables.methods.parts.grad_cam import grad_cam, share_of_cells, signed_grad_cam, unit_range
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

    norm01 scales each map from its minimum to its maximum. S at the map's resolution is a share of pixels.

    Source: Schramowski et al., Nature Machine Intelligence 2020 (RRR at the last map in place of the image), with
    Grad-CAM as in their group's program for Friedrich et al., Nature Machine Intelligence 2023 ("RRR-G").
    """

    departures = (
        Departure(
            "the penalty is a sum over batch and cells",
            "the mean over outside cells, then over images, so that neither the size of the batch nor that of the mask "
            "changes what a strength means",
            "`preset=paper`",
        ),
        Departure(
            "the program of Friedrich et al. scales the map to [0, 1] with its negative values",
            "ReLU comes first, as in Grad-CAM: evidence against the class counts as no attention",
            "`preset=paper`",
        ),
        Departure(
            "the program takes Grad-CAM's channel weights as constants, in evaluation mode",
            "gradients reach them too, in training mode",
            "none; the program's networks have no batch normalisation",
        ),
        Departure(
            "the program of Schramowski et al. penalises the gradient with respect to the last map itself",
            "Grad-CAM, as in the later program",
            "none",
        ),
    )
    strengths = (1e-1, 1e2)

    @classmethod
    def revision(cls, config: TrialConfig) -> int:
        return 2 if config.preset == "paper" else 1

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        last = model.trunk(batch.images)
        logits = model.read(last).logits
        cam = signed_grad_cam if self.config.preset == "paper" else grad_cam
        maps = unit_range(cam(logits.amax(dim=1), last))
        penalty = rrr_grad_cam_penalty(maps, share_of_cells(outside, maps), takes_part, self.config.preset)
        return Loss(cross_entropy(logits, batch.labels), penalty)
