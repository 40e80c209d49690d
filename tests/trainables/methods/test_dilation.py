"""Dilation against scipy's, with a box."""

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from trainables.methods.parts.region import dilate


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
