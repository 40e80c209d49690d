"""HINT: the Grad-CAM map of the true class resembles the mask."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.departure import Departure
from trainables.methods.method import Penalty
from trainables.methods.parts.grad_cam import grad_cam, share_of_cells, unit_range
from trainables.methods.parts.region import mean_over, outside_pixels
from trainables.methods.parts.shapes import Pixels, Scalar, TakesPart
from trainables.models import Classifier


def resemblance_error(maps: Float[Tensor, "batch h w"], outside: Pixels, takes_part: TakesPart) -> Scalar:
    """Mean over cells of (A − M)^2, in [0, 1], then over images; for maps in [0, 1].

    M is the share of a cell's pixels inside the mask, scaled to [0, 1] like A, so that a mask smaller than a cell can
    be matched. An image without outside pixels contributes zero; one without a mask has M = 0 under the policy
    `outside`.
    """
    target = unit_range(share_of_cells(~outside, maps))
    error = (maps - target).square().mean(dim=(1, 2))
    return mean_over(error * outside.flatten(1).any(dim=1), takes_part)


class HINT(Penalty):
    """CE(f(x), y) + strength · MSE(norm01(Grad-CAM of the true class), norm01(M)), both at the last map's resolution.

    Source: Selvaraju et al., ICCV 2019, in a simple form.
    """

    departures = (
        Departure(
            "regions are ranked by importance, and pairs that people rank differently are penalised",
            "a mean squared error between map and mask: a mask ranks only inside above outside",
            "none",
        ),
    )
    reads_preset = False

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        last = model.trunk(batch.images)
        logits = model.read(last).logits
        maps = unit_range(grad_cam(logits.gather(1, batch.labels[:, None])[:, 0], last))
        return Loss(cross_entropy(logits, batch.labels), resemblance_error(maps, outside, takes_part))
