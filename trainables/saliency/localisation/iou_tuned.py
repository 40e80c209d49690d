"""IoU at the threshold that is best on validation images."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trainables.saliency.localisation.iou_fixed import iou_above

THRESHOLDS = tuple(i / 20 for i in range(1, 20))


def iou_tuned(
    maps: Float[Tensor, "images height width"],
    masks: Bool[Tensor, "images height width"],
    valid_maps: Float[Tensor, "valid height width"],
    valid_masks: Bool[Tensor, "valid height width"],
) -> Float[Tensor, " images"]:
    """|P & M| / |P or M| in [0, 1], P the pixels of the positive map, scaled to [0, 1], above a tuned threshold.

    The threshold is that of 0.05, 0.10, ..., 0.95 with the highest mean IoU on the validation maps, the lowest of equal
    ones; NaN for all images where no validation image has a score. 0 for a constant map; NaN for an empty mask or an
    all-zero map. No chance level.

    Source: Saporta et al., Nat. Mach. Intell. 2022 (CheXlocalize), methods; one threshold for all classes here.
    """
    best, best_score = None, -torch.inf
    for threshold in THRESHOLDS:
        score = iou_above(valid_maps, valid_masks, threshold).nanmean().item()
        if score > best_score:
            best, best_score = threshold, score
    if best is None:
        return torch.full_like(maps[:, 0, 0], torch.nan)
    return iou_above(maps, masks, best)
