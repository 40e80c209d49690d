"""The IoU that a map scores by chance."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def chance_iou(masks: Bool[Tensor, "images height width"]) -> Float[Tensor, " images"]:
    """p / (2 − p), p the mask's relative area: expected overlap p² over expected union 2p − p². NaN if empty."""
    area = masks.flatten(1).float().mean(dim=1)
    return torch.where(area > 0, area / (2 - area), torch.nan)
