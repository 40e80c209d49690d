"""Outside pixels and means over them, under each policy for empty masks."""

import pytest
import torch

from trainables.methods.parts.region import mean_outside, mean_over, outside_pixels

# Two 1 x 3 images: the first has its middle pixel in the mask, the second has no mask.
MASKS = torch.tensor([[[[False, True, False]]], [[[False, False, False]]]])
FIRST_OUTSIDE = [True, False, True]


@pytest.mark.parametrize(
    ("policy", "second_outside", "second_takes_part"),
    [("skip", [False] * 3, False), ("outside", [True] * 3, True), ("inside", [False] * 3, True)],
)
def test_policy_for_the_image_without_a_mask(policy, second_outside, second_takes_part):
    outside, takes_part = outside_pixels(MASKS, policy)
    assert outside[:, 0, 0].tolist() == [FIRST_OUTSIDE, second_outside]
    assert takes_part.tolist() == [True, second_takes_part]


@pytest.mark.parametrize(("policy", "expected"), [("skip", 5.0), ("outside", 12.5), ("inside", 2.5)])
def test_mean_over_outside_pixels_then_over_images(policy, expected):
    # Two channels. Image 0: outside values 1, 3 and 7, 9, mean 5. Image 1: mean 20 over all its values.
    values = torch.tensor([[[[1.0, 100.0, 3.0]], [[7.0, 100.0, 9.0]]], [[[10.0, 20.0, 30.0]], [[0.0, 20.0, 40.0]]]])
    outside, takes_part = outside_pixels(MASKS, policy)
    assert mean_outside(values, outside, takes_part).item() == expected


def test_image_whose_mask_is_everything_counts_with_zero():
    masks = torch.tensor([[[[True, True]]], [[[True, False]]]])
    outside, takes_part = outside_pixels(masks, "skip")
    assert takes_part.tolist() == [True, True]
    assert mean_outside(torch.full((2, 1, 1, 2), 4.0), outside, takes_part).item() == 2.0


def test_no_image_takes_part():
    outside, takes_part = outside_pixels(MASKS[1:], "skip")
    assert mean_outside(torch.ones(1, 1, 1, 3), outside, takes_part).item() == 0.0
    assert mean_over(torch.tensor([3.0, 5.0]), torch.tensor([False, False])).item() == 0.0
    assert mean_over(torch.tensor([3.0, 5.0, 100.0]), torch.tensor([True, True, False])).item() == 4.0
