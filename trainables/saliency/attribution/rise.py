"""RISE: pixels that go with a higher score when random masks show them."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from trainables.core.batch import IMAGES_AT_ONCE
from trainables.models import Classifier
from trainables.saliency.attribution.attribution import Attribution, in_batches, target_logits
from trainables.saliency.shapes import Images, Maps, Targets

CELLS = 7
"""Cells of a mask's grid along each side."""
SHOWN = 0.5
"""Probability that a cell is shown."""


class Rise(Attribution):
    """|sum over n masks of (f_y(x · M_n) − mean f_y) M_n| / (n p (1 − p)), in logits; p = 0.5, n `attribution_passes`.

    Masks are 7 x 7 grids of zeros and ones, enlarged bilinearly and shifted at random. All images meet the same masks.

    Source: Petsiuk et al., BMVC 2018, equation 6 and section 3.2. Departures: the logit replaces the probability, and
    scores are centred on their mean over the masks; otherwise the map of few masks shows where these happen to be open,
    for which the source uses thousands of masks.
    """

    draws = True

    def passes(self, images: Images) -> int:
        return self.config.attribution_passes

    @torch.no_grad()
    def maps(self, model: Classifier, images: Images, targets: Targets) -> Maps:
        n, (height, width) = self.config.attribution_passes, images.shape[2:]
        masks = random_masks(n, height, width, self.rng()).to(images)

        def weighed(x: Tensor, y: Tensor) -> Tensor:
            parts = masks.split(max(1, IMAGES_AT_ONCE // len(x)))
            scores = torch.cat([_masked_scores(model, x, y, part) for part in parts], dim=1)
            # Relative to the first score, so that equal scores give exactly zero.
            scores = scores - scores[:, :1]
            centred = scores - scores.mean(dim=1, keepdim=True)
            return (centred @ masks.flatten(1)).abs().view(len(x), height, width) / (n * SHOWN * (1 - SHOWN))

        return in_batches(weighed, images, targets)


def random_masks(n: int, height: int, width: int, rng: torch.Generator) -> Float[Tensor, "{n} {height} {width}"]:
    """Draw n masks in [0, 1], smooth over about a cell."""
    cell_height, cell_width = math.ceil(height / CELLS), math.ceil(width / CELLS)
    grids = (torch.rand(n, 1, CELLS, CELLS, generator=rng) < SHOWN).float()
    size = (CELLS + 1) * cell_height, (CELLS + 1) * cell_width
    large = interpolate(grids, size=size, mode="bilinear", align_corners=False)[:, 0]
    tops = torch.randint(cell_height, (n,), generator=rng).tolist()
    lefts = torch.randint(cell_width, (n,), generator=rng).tolist()
    return torch.stack(
        [mask[top : top + height, left : left + width] for mask, top, left in zip(large, tops, lefts, strict=True)]
    )


def _masked_scores(
    model: Classifier, images: Images, targets: Targets, masks: Float[Tensor, "masks height width"]
) -> Float[Tensor, "images masks"]:
    masked = (images[:, None] * masks[None, :, None]).flatten(0, 1)
    return target_logits(model, masked, targets.repeat_interleave(len(masks))).view(len(images), len(masks))
