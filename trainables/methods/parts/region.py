"""The pixels outside the mask, under each policy for images without a mask; means over them; dilation."""

import torch
from torch.nn.functional import max_pool2d

from trainables.core.config import EmptyMask, Preset
from trainables.core.shapes import Images, PerImage, Pixels, Scalar, TakesPart


def outside_pixels(masks: Pixels, empty_mask: EmptyMask) -> tuple[Pixels, TakesPart]:
    """S = 1 − M, and which images take part in means.

    An image with an empty mask has, under the policy `skip`, no outside pixels and takes no part; under `outside`, only
    outside pixels (the paper's behaviour on RSNA negatives); under `inside`, no outside pixels, but it takes part and
    contributes zero.
    """
    has_mask = masks.flatten(1).any(dim=1)
    outside = ~masks
    if empty_mask != "outside":
        outside = outside & has_mask[:, None, None, None]
    takes_part = has_mask if empty_mask == "skip" else torch.ones_like(has_mask)
    return outside, takes_part


def mean_outside(values: Images, outside: Pixels, takes_part: TakesPart) -> Scalar:
    """Mean of `values` over outside pixels and channels of each image, then over the images that take part.

    Zero for an image without outside pixels, and if no image takes part.
    """
    total = (values * outside).flatten(1).sum(dim=1)
    count = outside.flatten(1).sum(dim=1) * values.shape[1]
    return mean_over(total / count.clamp(min=1), takes_part)


def reduced_outside(values: Images, outside: Pixels, takes_part: TakesPart, preset: Preset) -> Scalar:
    """The sum of `values` over batch, channels and outside pixels (`paper`), or `mean_outside` (`fixed`)."""
    return (values * outside).sum() if preset == "paper" else mean_outside(values, outside, takes_part)


def mean_over(values: PerImage, takes_part: TakesPart) -> Scalar:
    """Mean of `values` over the images that take part; zero if none does."""
    return (values * takes_part).sum() / takes_part.sum().clamp(min=1)


def dilate(masks: Pixels, pixels: int) -> Pixels:
    """Grow masks to every pixel within `pixels` rows and columns of a mask pixel; an empty mask stays empty.

    The paper's mask "blur" of sigma (Gaussian, truncated at 4 sigma, then > 0) is a dilation by int(4 sigma + 0.5).
    """
    if pixels == 0:
        return masks
    return max_pool2d(masks.float(), kernel_size=2 * pixels + 1, stride=1, padding=pixels) > 0
