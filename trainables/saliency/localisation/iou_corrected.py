"""IoU with its chance level taken off."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trainables.saliency.localisation.chance import chance_iou
from trainables.saliency.localisation.iou import iou


def iou_corrected(
    maps: Float[Tensor, "images height width"], masks: Bool[Tensor, "images height width"]
) -> Float[Tensor, " images"]:
    """(IoU − c) / (1 − c), c = p / (2 − p) the IoU of a random region of the mask's area p; 1 is perfect, 0 is chance.

    At worst −c / (1 − c). Unlike IoU it can be compared between datasets and averaged over masks of different sizes.
    NaN for an empty mask, one that covers the whole image, or an all-zero map.

    Source: ours; the form of Cohen's kappa (1960).
    """
    chance = chance_iou(masks)
    return torch.where(chance < 1, (iou(maps, masks) - chance) / (1 - chance), torch.nan)
