"""The blur against scipy's Gaussian filter."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from trainables.saliency.localisation.blur import blur


@pytest.mark.parametrize("sigma", [0.4, 1.0, 1.7, 3.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 1e-6)])
def test_equals_gaussian_filter(sigma, dtype, tolerance):
    maps = np.random.default_rng(0).random((3, 28, 21)).astype(dtype)
    expected = np.stack([gaussian_filter(m, sigma, mode="constant", truncate=3.5) for m in maps])
    result = blur(torch.from_numpy(maps), sigma)
    assert result.dtype == torch.from_numpy(maps).dtype
    np.testing.assert_allclose(result.numpy(), expected, atol=tolerance)


def test_sigma_zero_changes_nothing():
    maps = torch.rand(2, 5, 5)
    assert torch.equal(blur(maps, 0.0), maps)
