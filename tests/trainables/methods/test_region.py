"""The pixels outside the mask under each policy, means over them, and dilation."""

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from trainables.methods.parts.region import dilate, mean_outside, mean_over, outside_pixels

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


def test_no_image_takes_part():
    outside, takes_part = outside_pixels(MASKS[1:], "skip")
    assert mean_outside(torch.ones(1, 1, 1, 3), outside, takes_part).item() == 0.0
    assert mean_over(torch.tensor([3.0, 5.0]), torch.tensor([False, False])).item() == 0.0
    assert mean_over(torch.tensor([3.0, 5.0, 100.0]), torch.tensor([True, True, False])).item() == 4.0


@pytest.mark.parametrize("pixels", [0, 1, 2, 3, 4])
def test_equals_binary_dilation_with_a_box(pixels):
    masks = np.random.default_rng(0).random((6, 1, 28, 20)) < 0.02
    masks[0, 0, 0, 0] = masks[1, 0, 27, 19] = True
    masks[5] = False
    result = dilate(torch.from_numpy(masks), pixels)
    box = np.ones((2 * pixels + 1, 2 * pixels + 1))
    expected = np.stack([binary_dilation(mask[0], structure=box)[None] for mask in masks])
    np.testing.assert_array_equal(result.numpy(), expected)
    assert not result[5].any()


@pytest.mark.parametrize(("sigma", "pixels"), [(0.8178, 3), (0.6395, 3), (1.0, 4)])
def test_equals_the_papers_mask_blur(sigma, pixels):
    from scipy.ndimage import gaussian_filter

    mask = np.zeros((28, 28))
    mask[13, 9:15] = mask[10:17, 12] = 1
    blurred = gaussian_filter(mask, sigma, truncate=4) > 0
    np.testing.assert_array_equal(dilate(torch.from_numpy(mask > 0)[None, None], pixels)[0, 0].numpy(), blurred)
