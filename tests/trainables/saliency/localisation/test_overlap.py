"""IoU, IoP, IoT, the predicted region and the chance level against plain loops, cases by hand and simulation."""

import math

import numpy as np
import pytest
import torch

from trainables.saliency.localisation import chance_iou, iop, iot, iou
from trainables.saliency.localisation.overlap import predicted_region


def by_loop(image: np.ndarray, mask: np.ndarray) -> tuple[float, float, float]:
    """(IoU, IoP, IoT) pixel by pixel; the region as the paper has it."""
    threshold = np.percentile(image, 100 - 100 * mask.sum() / mask.size)
    both = region = union = 0
    for value, inside in zip(image.flatten(), mask.flatten(), strict=True):
        predicted = value > threshold and value > 0
        region += predicted
        both += predicted and inside
        union += predicted or inside
    return both / union, both / region if region else 0.0, both / mask.sum()


@pytest.fixture(params=[False, True], ids=["distinct", "ties"])
def maps_and_masks(request):
    rng = np.random.default_rng(1)
    maps = rng.random((200, 8, 8)).astype(np.float32)
    if request.param:
        maps = np.round(maps * 5) / 5
    masks = rng.random((200, 8, 8)) < rng.uniform(0.05, 0.9, size=(200, 1, 1))
    masks[:, 0, 0] = True
    masks[:, 7, 7] = False
    return maps, masks


def test_equal_to_a_plain_loop(maps_and_masks):
    maps, masks = maps_and_masks
    expected = np.array([by_loop(m, mask) for m, mask in zip(maps, masks, strict=True)])
    tensors = torch.from_numpy(maps), torch.from_numpy(masks)
    result = np.stack([score(*tensors).numpy() for score in (iou, iop, iot)], axis=1)
    np.testing.assert_allclose(result, expected, atol=1e-6)
    assert expected.std(axis=0).min() > 0.05


def test_ties_at_the_threshold_shrink_it_and_zeros_never_count():
    mask = torch.tensor([[[True, True, False, False]]])
    assert predicted_region(torch.tensor([[[0.0, 2.0, 2.0, 2.0]]]), mask).sum() == 0
    assert predicted_region(torch.tensor([[[0.0, 3.0, 2.0, 2.0]]]), mask).tolist() == [[[False, True, False, False]]]
    assert predicted_region(torch.tensor([[[0.0, 3.0, 0.0, 0.0]]]), mask).tolist() == [[[False, True, False, False]]]


def test_chance_by_hand():
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
