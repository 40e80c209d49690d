"""Attributions by forward passes on images with hidden windows, superpixels or random masks."""

import math
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from trainables.core.batch import MOST_AT_ONCE, at_once, parts
from trainables.core.shapes import Images, Labels, Maps
from trainables.models import Classifier
from trainables.saliency.attribution.attribution import Attribution, in_batches, target_logits

PAPER_WINDOW, PAPER_SIZE = 15, 224


def window_size(size: int) -> int:
    """Side of the window for images of `size` pixels, in proportion to the paper's 15 at 224; at least 2."""
    return max(2, round(size * PAPER_WINDOW / PAPER_SIZE))


def filled_windows(images: Images) -> Bool[Tensor, "images rows columns"]:
    """True for the windows of an image that are not all zero."""
    side = window_size(min(images.shape[2:]))
    return max_pool2d(images.abs().amax(dim=1, keepdim=True), side, stride=side, ceil_mode=True)[:, 0] > 0


class Occlusion(Attribution):
    """|f_y(x) − f_y(x with the window at zero)|, in logits, constant over each of the tiled windows.

    Window and stride are equal; the last windows are cut at the border. Not blurred before scoring. A window that is
    already zero takes no forward pass: its score is 0.

    Source: Zeiler & Fergus, ECCV 2014, section 2.1; sizes as in Viviano et al., ICLR 2021.
    """

    def passes(self, images: Images) -> int:
        return round(filled_windows(images).sum().item() / len(images))

    def maps(self, model: Classifier, images: Images, targets: Labels) -> Maps:
        height, width = images.shape[2:]
        side = window_size(min(height, width))
        filled = filled_windows(images)
        falls = torch.zeros_like(filled, dtype=images.dtype)
        row_of, column_of = (torch.arange(length, device=images.device) // side for length in (height, width))
        with torch.no_grad():
            whole = in_batches(partial(target_logits, model), images, targets)
            places = filled.nonzero()
            for part in parts(len(places), images.shape, images.device):
                image, row, column = places[part].T
                inside = (row_of == row[:, None])[:, None, :, None] & (column_of == column[:, None])[:, None, None, :]
                occluded = images[image].masked_fill(inside, 0)
                falls[image, row, column] = (whole[image] - target_logits(model, occluded, targets[image])).abs()
        return falls.repeat_interleave(side, dim=1).repeat_interleave(side, dim=2)[:, :height, :width]


SUPERPIXELS = 50
COMPACTNESS = 0.1
"""Weight of distance against differences in pixel values in [0, 1]."""


class FeatureAblation(Attribution):
    """|f_y(x) − f_y(x with the superpixel at zero)|, in logits, constant over each superpixel.

    About 50 superpixels per image by SLIC, at most `attribution_passes`.

    Source: Achanta et al., PAMI 2012 (SLIC), as implemented in scikit-image; ablation as in captum.
    """

    def passes(self, images: Images) -> int:
        return min(SUPERPIXELS, self.config.attribution_passes)

    @torch.no_grad()
    def batch_maps(self, model: Classifier, images: Images, targets: Labels) -> Maps:
        n, segments = len(images), superpixels(images, self.passes(images))
        whole = target_logits(model, images, targets)
        result = torch.zeros_like(images[:, 0])
        numbers = torch.arange(int(segments.max()) + 1, device=images.device)
        for part in numbers.tensor_split(math.ceil(len(numbers) * n / at_once(images.shape, images.device))):
            inside = segments[:, None] == part[None, :, None, None]
            without = (images[:, None] * ~inside[:, :, None]).flatten(0, 1)
            scores = target_logits(model, without, targets.repeat_interleave(len(part))).view(n, -1)
            falls = (whole[:, None] - scores).abs()
            # Superpixels do not overlap, so each pixel gets one fall.
            result += (falls[:, :, None, None] * inside).sum(dim=1)
        return result


def superpixels(images: Images, most: int) -> Int[Tensor, "images height width"]:
    """Number each pixel's superpixel from 0, about `most` per image."""
    from skimage.segmentation import slic  # slow to import, and few trials need it

    settings = {"compactness": COMPACTNESS, "start_label": 0, "channel_axis": 0, "convert2lab": False}
    segments = [slic(image, n_segments=most, **settings) for image in images.cpu().numpy()]
    return torch.from_numpy(np.stack(segments)).to(images.device)


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
    def maps(self, model: Classifier, images: Images, targets: Labels) -> Maps:
        n = self.config.attribution_passes
        masks = random_masks(n, images.shape[2], images.shape[3], self.rng()).to(images)

        def scores_of(images: Images, targets: Labels) -> Float[Tensor, "images masks"]:
            scored = []
            for part in masks.tensor_split(math.ceil(n * len(images) / at_once(images.shape, images.device))):
                masked = (images[:, None] * part[None, :, None]).flatten(0, 1)
                scores = target_logits(model, masked, targets.repeat_interleave(len(part)))
                scored.append(scores.view(len(images), len(part)))
            return torch.cat(scored, dim=1)

        scores = in_batches(scores_of, images, targets)
        # Relative to the first score, so that equal scores give exactly zero.
        scores = scores - scores[:, :1]
        centred = scores - scores.mean(dim=1, keepdim=True)
        sums = torch.cat([part @ masks.flatten(1) for part in centred.split(MOST_AT_ONCE)])
        return sums.abs().view_as(images[:, 0]) / (n * SHOWN * (1 - SHOWN))


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
