"""The chance level of IoU, by hand and by simulation."""

import math

import numpy as np
import pytest
import torch

from trainables.saliency.localisation import chance_iou, iou


def test_by_hand():
    masks = torch.zeros(3, 2, 2, dtype=torch.bool)
    masks[0, 0] = True
    masks[1] = True
    result = chance_iou(masks)
    assert result[:2].tolist() == pytest.approx([0.5 / 1.5, 1.0])
    assert math.isnan(result[2].item())


@pytest.mark.parametrize("area", [10, 80, 200])
def test_random_maps_score_the_chance_level(area):
    draws = 4000
    mask = np.zeros(400, dtype=bool)
    mask[:area] = True
    masks = torch.from_numpy(mask.reshape(1, 20, 20)).expand(draws, 20, 20)
    maps = torch.from_numpy(np.random.default_rng(0).random((draws, 20, 20)).astype(np.float32))
    scores = iou(maps, masks)
    # p / (2 − p) is the expected overlap over the expected union, the mean ratio up to terms of order 1 / area.
    error = 4 * scores.std().item() / math.sqrt(draws) + 0.1 / area
    assert chance_iou(masks[:1]).item() == pytest.approx(scores.mean().item(), abs=error)
