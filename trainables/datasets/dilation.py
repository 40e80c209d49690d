"""Masks grown by a box, as coarse as an expert may draw them."""

from jaxtyping import Bool
from torch import Tensor
from torch.nn.functional import max_pool2d


def dilate(masks: Bool[Tensor, "images 1 height width"], pixels: int) -> Bool[Tensor, "images 1 height width"]:
    """Every pixel within `pixels` rows and columns of a mask pixel; an empty mask stays empty.

    The paper's mask "blur" of sigma (Gaussian, truncated at 4 sigma, then > 0) is a dilation by int(4 sigma + 0.5).
    """
    if pixels == 0:
        return masks
    return max_pool2d(masks.float(), kernel_size=2 * pixels + 1, stride=1, padding=pixels) > 0
