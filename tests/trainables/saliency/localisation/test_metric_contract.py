"""What every localisation metric promises, on maps whose scores are known."""

import math

import numpy as np
import pytest
import torch

from records import columns
from trainables.saliency.localisation import LOCALISATION, TUNED, chance_iou, traits_of

METRICS = {**LOCALISATION, **TUNED}
BUILT_IN = {**LOCALISATION.builtin, **TUNED}


def scorer(name):
    """The metric as a function of maps and masks; one that is tuned sees them as validation too."""
    if name in TUNED:
        return lambda maps, masks: TUNED[name](maps, masks, maps, masks)
    return LOCALISATION[name]


@pytest.mark.parametrize("name", sorted(METRICS))
def test_contract(name):
    score, traits = scorer(name), traits_of(METRICS[name])
    rng = np.random.default_rng(3)
    maps = torch.from_numpy(rng.random((7, 6, 6)).astype(np.float32))
    masks = torch.from_numpy(rng.random((7, 6, 6)) < 0.4)
    masks[1] = False
    maps[2] = 0
    maps[3, 2, 2] = math.nan
    maps[4, 2, 2] = math.inf
    before = maps.clone(), masks.clone()
    result = score(maps, masks)
    assert result.shape == (7,)
    assert result.dtype == maps.dtype
    assert result.isnan().tolist() == [False, True, True, True, True, False, False]
    assert torch.equal(maps.nan_to_num(), before[0].nan_to_num())
    assert torch.equal(masks, before[1])
    for i in (0, 5, 6):
        assert traits.lowest <= result[i] <= 1
        if name in LOCALISATION:
            assert score(maps[i : i + 1], masks[i : i + 1]).item() == result[i].item(), "each image by itself"
    torch.testing.assert_close(score(maps * 1024, masks), result, equal_nan=True)
    perfect = masks[5:6].float() * (1 + maps[5:6])
    assert score(perfect, masks[5:6]).item() == pytest.approx(1)
    wrong = (~masks[5:6]).float() * (1 + maps[5:6])
    assert score(wrong, masks[5:6]).item() <= traits.inverted_map


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_metric_and_analysis_agree_on_whether_lower_is_better(name):
    lower_is_better = traits_of(BUILT_IN[name]).lower_is_better
    assert lower_is_better == ("lower is better" in BUILT_IN[name].__doc__)
    assert lower_is_better == (name in columns.LOWER_IS_BETTER), "correct LOWER_IS_BETTER in records/columns.py"
    assert set(columns.LOWER_IS_BETTER) <= set(BUILT_IN)


P = 3 / 16


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("auprc", "distractor_mass", "energy", "pointing", "rank_accuracy", "top_k"), P),
        (("iop", "iot", "iou", "iou_fixed", "iou_tuned"), 0.0),
        (("auroc",), 0.5),
        (("iou_corrected",), -(P / (2 - P)) / (1 - P / (2 - P))),
    ],
)
def test_scores_of_a_constant_map(names, expected):
    """Chance, or 0 where no pixel is above the threshold."""
    masks = torch.zeros(1, 4, 4, dtype=torch.bool)
    masks[0, 1, :3] = True
    for name in names:
        assert traits_of(BUILT_IN[name]).constant_map(P) == pytest.approx(expected)
        assert scorer(name)(torch.full((1, 4, 4), 0.7), masks).item() == pytest.approx(expected)


# A 1 x 8 map, the mask its first four pixels. test_against_other_programs.py has the other metrics.
BY_HAND = {"distractor_mass": 19 / 30, "iou_corrected": (3 / 5 - 1 / 3) / (1 - 1 / 3), "iou_fixed": 2 / 5}


@pytest.mark.parametrize("name", sorted(BY_HAND))
def test_by_hand(name):
    maps = torch.tensor([[[8.0, 6.0, 4.0, 1.0, 7.0, 2.0, 1.5, 0.5]]])
    masks = torch.zeros(1, 1, 8, dtype=torch.bool)
    masks[0, 0, :4] = True
    # In falling order: in, out, in, in, out, out, in, out.
    assert LOCALISATION[name](maps, masks).item() == pytest.approx(BY_HAND[name])


def test_ties_are_broken_at_random_in_expectation():
    """Three pixels are highest, two of them in the mask; a fourth of the four wanted comes from two that tie."""
    maps = torch.tensor([[[5.0, 5.0, 1.0, 0.0, 5.0, 1.0, 0.0, 0.0]]])
    masks = torch.zeros(1, 1, 8, dtype=torch.bool)
    masks[0, 0, :4] = True
    assert LOCALISATION["pointing"](maps, masks).item() == pytest.approx(2 / 3)
    assert LOCALISATION["rank_accuracy"](maps, masks).item() == pytest.approx((2 + 1 / 2) / 4)


def test_top_k_is_one_in_a_hundred_and_no_more_than_the_mask():
    maps = torch.linspace(0, 1, 400).view(1, 20, 20)
    masks = torch.zeros(1, 20, 20, dtype=torch.bool)
    masks[0, 19, 18:] = True
    assert LOCALISATION["top_k"](maps, masks).item() == 1, "two pixels are asked for, not four"
    masks[0, 0] = True
    assert LOCALISATION["top_k"](maps, masks).item() == 0.5


def test_the_threshold_is_tuned_on_validation_maps_alone():
    masks = torch.zeros(2, 1, 10, dtype=torch.bool)
    masks[:, 0, :3] = True
    valid = torch.tensor([[[1.0, 0.9, 0.8, 0.72, 0.6, 0.5, 0.4, 0.3, 0.2, 0.0]]]).repeat(2, 1, 1)
    maps = torch.tensor([[[1.0, 0.9, 0.7, 0.78, 0.74, 0.5, 0.4, 0.3, 0.2, 0.0]]]).repeat(2, 1, 1)
    # On validation 0.75 separates perfectly; there, three pixels of the scored map are above it, two in the mask.
    assert TUNED["iou_tuned"](maps, masks, valid, masks).tolist() == pytest.approx([2 / 4, 2 / 4])
    nothing = torch.zeros_like(valid)
    assert TUNED["iou_tuned"](maps, masks, nothing, masks).isnan().all()


def test_masks_of_the_whole_image():
    masks, maps = torch.ones(1, 4, 4, dtype=torch.bool), torch.rand(1, 4, 4) + 0.1
    assert chance_iou(masks).item() == 1
    assert LOCALISATION["auroc"](maps, masks).isnan().all()
    assert LOCALISATION["iou_corrected"](maps, masks).isnan().all()
    assert LOCALISATION["energy"](maps, masks).item() == pytest.approx(1)
