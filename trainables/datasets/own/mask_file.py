"""Regions of interest at the size of their image: from a mask file, from boxes, or an ellipse."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from trainables.datasets.own.image_file import ImageFile, UnreadableImageError
from trainables.datasets.own.table import Box


def inside(image: ImageFile, height: int, width: int) -> Bool[np.ndarray, "{height} {width}"]:
    """True on the region of interest of a mask file.

    A mask has two values, 0 and another, or is grey over the whole range of its type (soft edges, JPEG): then inside
    is what lies above the middle. Of several channels the greatest counts.

    Raises:
        UnreadableImageError: another size than the image's, or several small values, which may be labels.
    """
    if image.values.shape[:2] != (height, width):
        raise UnreadableImageError(
            f"is {_size(*image.values.shape[:2])}, its image {_size(height, width)}; save both at the same size"
        )
    values = image.values.max(axis=2)
    found = np.unique(values)
    if len(found) <= 2 and found[0] >= 0 and (len(found) == 1 or found[0] == 0):
        return values > 0
    middle = (image.low + image.high) / 2
    if found[0] < image.low or found[-1] > image.high or found[-1] <= middle:
        some = ", ".join(f"{value:g}" for value in found[:5]) + (", …" if len(found) > 5 else "")
        raise UnreadableImageError(f"has the values {some}; a mask is 0 outside and one other value inside")
    return values > middle


def boxes_inside(
    boxes: Sequence[Box], height: int, width: int, side: int | None = None
) -> Bool[np.ndarray, "{height} {width}"]:
    """True on the pixels of which at least half, in each direction, lies in one of the boxes.

    Args:
        boxes: in pixels of this image; of one of `side` x `side` pixels where that is given.
        height: of this image.
        width: of this image.
        side: see `boxes`.

    Raises:
        UnreadableImageError: a box that reaches out of the image by more than a pixel.
    """
    mask = np.zeros((height, width), dtype=bool)
    for box in boxes:
        if side is not None:
            x, y = width / side, height / side
            box = Box(box.x * x, box.y * y, box.width * x, box.height * y)
        if box.x + box.width > width + 1 or box.y + box.height > height + 1:
            raise UnreadableImageError(
                f"{box.x:g} {box.y:g} {box.width:g} {box.height:g} reaches out of the image, which is "
                f"{_size(height, width)}; boxes are 'x y width height' in pixels from the upper left"
            )
        top, left = round(box.y), round(box.x)
        bottom, right = max(round(box.y + box.height), top + 1), max(round(box.x + box.width), left + 1)
        mask[top:bottom, left:right] = True
    return mask


def ellipse_inside(divisor: float, height: int, width: int) -> Bool[np.ndarray, "{height} {width}"]:
    """True on a centred ellipse whose radii are height / divisor and width / divisor, pixels taken at their centres.

    Source: Viviano et al., ICLR 2021, X-ray sets: divisor 2.5.
    """
    y = (np.arange(height) + 0.5 - height / 2) / (height / divisor)
    x = (np.arange(width) + 0.5 - width / 2) / (width / divisor)
    return y[:, None] ** 2 + x[None, :] ** 2 <= 1


def _size(height: int, width: int) -> str:
    return f"{width} x {height} pixels"
