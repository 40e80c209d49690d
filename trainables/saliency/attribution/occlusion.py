"""Occlusion: the fall of the score when a window is set to zero."""

from functools import partial

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn.functional import max_pool2d

from trainables.core.batch import IMAGES_AT_ONCE
from trainables.models import Classifier
from trainables.saliency.attribution.attribution import Attribution, in_batches, target_logits
from trainables.saliency.shapes import Images, Maps, Targets

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

    def maps(self, model: Classifier, images: Images, targets: Targets) -> Maps:
        height, width = images.shape[2:]
        side = window_size(min(height, width))
        filled = filled_windows(images)
        falls = torch.zeros_like(filled, dtype=images.dtype)
        row_of, column_of = (torch.arange(length, device=images.device) // side for length in (height, width))
        with torch.no_grad():
            whole = in_batches(partial(target_logits, model), images, targets)
            for windows in filled.nonzero().split(IMAGES_AT_ONCE):
                image, row, column = windows.T
                inside = (row_of == row[:, None])[:, None, :, None] & (column_of == column[:, None])[:, None, None, :]
                occluded = images[image].masked_fill(inside, 0)
                falls[image, row, column] = (whole[image] - target_logits(model, occluded, targets[image])).abs()
        return falls.repeat_interleave(side, dim=1).repeat_interleave(side, dim=2)[:, :height, :width]
