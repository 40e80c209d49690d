"""Energy: the share of positive attribution outside the mask is small."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options
from trainables.core.departure import Departure
from trainables.methods.method import Penalty, images_with_gradient
from trainables.methods.parts.grad_cam import grad_cam, share_of_cells
from trainables.methods.parts.region import mean_over, outside_pixels
from trainables.methods.parts.shapes import Scalar, TakesPart
from trainables.models import Classifier


class EnergyOptions(Options):
    energy_map: Literal["input_x_gradient", "grad_cam"] = Field(
        "input_x_gradient",
        description="map of the true class's logit: the positive part of image times input gradient, summed over "
        "channels, or Grad-CAM of the trunk's last map",
    )


def energy_penalty(
    maps: Float[Tensor, "batch h w"], outside: Float[Tensor, "batch h w"], takes_part: TakesPart
) -> Scalar:
    """Mean over images of sum(A · S) / sum(A), in [0, 1], for maps A >= 0; an all-zero map contributes zero.

    Equals the source's 1 − sum(A · M) / sum(A) for a map that is not all zero.
    """
    total = maps.sum(dim=(1, 2))
    share = (maps * outside).sum(dim=(1, 2)) / torch.where(total > 0, total, torch.ones_like(total))
    return mean_over(share, takes_part)


class Energy(Penalty):
    """CE(f(x), y) + strength · (1 − sum(A · M) / sum(A)), A the positive part of an attribution of f_y.

    An image without a mask contributes the constant 1 under the policy `outside`, without a gradient.

    A is input x gradient at the input (default) or Grad-CAM of the last map, where S is the share of a cell's pixels
    outside. The penalty is a share of each image's map, so that presets do not differ.

    Source: Rao et al., ICCV 2023 (energy loss).
    """

    departures = (
        Departure(
            "several attributions are compared, at several layers",
            "two attributions, each at one layer",
            "`energy_map` chooses one of the two; none for others",
        ),
    )
    reads_preset = False
    second_order = True
    strengths = (1e-2, 1e1)
    Options = EnergyOptions
    options: EnergyOptions

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        images = images_with_gradient(batch)
        last = model.trunk(images) if self.options.energy_map == "grad_cam" else None
        logits = model(images).logits if last is None else model.read(last).logits
        scores = logits.gather(1, batch.labels[:, None])[:, 0]
        if last is not None:
            maps = grad_cam(scores, last)
        else:
            (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
            maps = (images * gradient).sum(dim=1).relu()
        penalty = energy_penalty(maps, share_of_cells(outside, maps), takes_part)
        return Loss(cross_entropy(logits, batch.labels), penalty)
