"""From decoded files to what a trial sees; UnreadableImageError for images and masks that cannot be used."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch.nn.functional import interpolate, pad

from trainables.datasets.own.image_file import UPRIGHT, ImageFile, UnreadableImageError
from trainables.datasets.own.table import Box

LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue (ITU-R BT.601)."""
LONGEST_PADDED = 2**14
"""Longest side in pixels of an image that becomes a square of that side."""
Pixels = Float[np.ndarray, "height width _"]
Mask = Bool[np.ndarray, "height width"]


def scale(image: ImageFile, pixel_range: str) -> Pixels:
    """Scale values to [0, 1], 0 black; `pixel_range` as in the options."""
    values = image.values
    if pixel_range == "image":
        low, high = float(values.min()), float(values.max())
    elif pixel_range == "type":
        low, high = image.low, image.high
        if values.min() < low or values.max() > high:
            raise UnreadableImageError(
                f"has values from {values.min():g} to {values.max():g}, outside the range {low:g} to {high:g} of its "
                "type; set pixel_range=LOW:HIGH, or pixel_range=image for each image's range"
            )
    else:
        low, high = map(float, pixel_range.split(":"))
    # In double precision, so that 8- and 16-bit values come back exactly.
    scaled = ((values.astype(np.float64) - low) / ((high - low) or 1.0)).clip(0, 1)
    return (1 - scaled if image.inverted else scaled).astype(np.float32)


def with_channels(pixels: Pixels, channels: int) -> Pixels:
    """Convert colours to grey by luminance, or grey to three equal channels."""
    if pixels.shape[2] > channels:
        return (pixels @ LUMINANCE)[:, :, None].clip(0, 1)
    return np.repeat(pixels, channels // pixels.shape[2], axis=2)


def fitted(pixels: Pixels, size: int, fit: str) -> Float[np.ndarray, "channels {size} {size}"]:
    """Resize to a square of `size` pixels: bilinear, with antialiasing where it shrinks; `fit` as in the options."""
    tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
    if fit != "stretch":
        height, width = pixels.shape[:2]
        side = (max if fit == "pad" else min)(height, width)
        if side > LONGEST_PADDED:
            raise UnreadableImageError(
                f"is {_size(height, width)}; at most {LONGEST_PADDED} can be padded to a square: use fit=stretch or "
                "fit=crop, or save it smaller"
            )
        top, left = int((side - height) / 2), int((side - width) / 2)  # negative where it crops
        tensor = pad(tensor, (left, side - width - left, top, side - height - top))
    if tensor.shape[2:] != (size, size):
        tensor = interpolate(tensor, size=(size, size), mode="bilinear", antialias=True).clamp(0, 1)
    return tensor[0].numpy()


def fitted_mask(mask: Mask, size: int, fit: str) -> Bool[np.ndarray, "{size} {size}"]:
    """Resize a mask like its image: a pixel is inside if half of it is, or as much as of any other pixel."""
    cover = fitted(mask.astype(np.float32)[:, :, None], size, fit)[0]
    if mask.any() and not cover.any():
        raise UnreadableImageError("lies outside the image's centre square; use fit=pad or fit=stretch")
    return cover >= (min(0.5, cover.max()) if mask.any() else 0.5)


def upright_mask(mask: ImageFile, image: ImageFile) -> ImageFile:
    """The mask as it lies on the upright image; if one file is turned, the mask's size says how it was drawn."""
    orientations = [file.orientation for file in (image, mask) if file.orientation != UPRIGHT]
    if len(orientations) != 1:
        return mask.upright
    shape = image.upright.values.shape[:2]
    fitting = [each for each in (mask, mask.turned(orientations[0])) if each.values.shape[:2] == shape]
    if len(fitting) == 2:
        one, other = ("image", "mask") if mask.orientation == UPRIGHT else ("mask", "image")
        raise UnreadableImageError(
            f"may be drawn on its image as stored or as shown: the {one} is stored turned or mirrored (EXIF "
            f"orientation {orientations[0]}), the {other} is not, and the sizes fit both; save both upright"
        )
    return fitting[0] if fitting else mask


def inside(mask: ImageFile, height: int, width: int) -> Mask:
    """True on the region of interest of a mask file.

    A mask has two values, 0 and another, or is grey over the range of its type (soft edges, JPEG): then inside is above
    the middle. The greatest of several channels counts. Several small values may be labels and are refused.
    """
    if mask.values.shape[:2] != (height, width):
        raise UnreadableImageError(
            f"is {_size(*mask.values.shape[:2])}, its image {_size(height, width)}; save both at the same size"
        )
    values = mask.values.max(axis=2)
    levels = np.unique(values)
    if len(levels) <= 2 and levels[0] >= 0 and (len(levels) == 1 or levels[0] == 0):
        return values > 0
    middle = (mask.low + mask.high) / 2
    if levels[0] < mask.low or levels[-1] > mask.high or levels[-1] <= middle:
        some = ", ".join(f"{value:g}" for value in levels[:5]) + (", …" if len(levels) > 5 else "")
        raise UnreadableImageError(f"has the values {some}; a mask is 0 outside and one other value inside")
    return values > middle


def boxes_inside(boxes: Sequence[Box], height: int, width: int, side: int | None = None) -> Mask:
    """True in the boxes, which are in pixels of this image, or of a square image with this `side`."""
    mask = np.zeros((height, width), dtype=bool)
    for box in boxes:
        if side is not None:
            x, y = width / side, height / side
            box = Box(box.x * x, box.y * y, box.width * x, box.height * y)
        top, left = round(box.y), round(box.x)
        reaches_out = box.x + box.width > width + 1 or box.y + box.height > height + 1
        if reaches_out or top >= height or left >= width:
            reason = "reaches out" if reaches_out else "covers no pixel"
            are_corners = box.x < box.width <= width + 1 and box.y < box.height <= height + 1
            size = f"{box.width - box.x:g} {box.height - box.y:g}"
            hint = f". For the corners x1 y1 x2 y2, write {box.x:g} {box.y:g} {size}, and the others likewise"
            raise UnreadableImageError(
                f"{box.x:g} {box.y:g} {box.width:g} {box.height:g} {reason} of the image, which is "
                f"{_size(height, width)}; boxes are 'x y width height' in pixels from the upper left, which is 0 0"
                f"{hint if are_corners else ''}"
            )
        bottom, right = max(round(box.y + box.height), top + 1), max(round(box.x + box.width), left + 1)
        mask[top:bottom, left:right] = True
    return mask


def ellipse_inside(divisor: float, height: int, width: int) -> Mask:
    """True on a centred ellipse of the radii height / divisor and width / divisor, pixels taken at their centres."""
    y = (np.arange(height) + 0.5 - height / 2) / (height / divisor)
    x = (np.arange(width) + 0.5 - width / 2) / (width / divisor)
    return y[:, None] ** 2 + x[None, :] ** 2 <= 1


def _size(height: int, width: int) -> str:
    return f"{width} x {height} pixels"
