"""The blur, and the maps that a trial scores, against scipy's Gaussian filter."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from trainables import resolve
from trainables.models.initialise import initialise
from trainables.saliency.localisation import TUNED, iou
from trainables.saliency.localisation.blur import blur
from trainables.trial.data import load_splits
from trainables.trial.explain import Scored, localise


@pytest.mark.parametrize("sigma", [0.4, 1.0, 1.7, 3.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 1e-6)])
def test_equals_gaussian_filter(sigma, dtype, tolerance):
    maps = np.random.default_rng(0).random((3, 28, 21)).astype(dtype)
    expected = np.stack([gaussian_filter(m, sigma, mode="constant", truncate=3.5) for m in maps])
    result = blur(torch.from_numpy(maps), sigma)
    assert result.dtype == torch.from_numpy(maps).dtype
    np.testing.assert_allclose(result.numpy(), expected, atol=tolerance)


@pytest.mark.parametrize(("side", "preset", "sigma"), [(28, "fixed", 1), (64, "fixed", 2), (64, "paper", 1)])
def test_scored_maps_are_blurred_in_proportion_to_the_image(side, preset, sigma):
    settings = {"dataset": "digits_on_photos", "image_size": side, "n_train": 20}
    measured = {"attributions": ("input_gradient",), "metrics": ("iou", "iou_tuned"), "attribution_images": 4}
    config = resolve({**settings, **measured, "preset": preset})
    splits, classes = load_splits(config)
    model = initialise("small_cnn", 1, classes, 0).eval()

    def blurred(split):
        scored = Scored.of(splits[split], classes, config, torch.device("cpu"))
        inputs = scored.images.clone().requires_grad_()
        (slopes,) = torch.autograd.grad(model(inputs).logits[:, 1].sum(), inputs)
        maps = [gaussian_filter(m, sigma, mode="constant", truncate=3.5) for m in slopes.abs().sum(dim=1).numpy()]
        return torch.from_numpy(np.stack(maps)), scored.masks

    maps, masks = blurred("test_ood")
    arrays = localise(model, splits, classes, config).arrays
    np.testing.assert_allclose(arrays["test_ood.scored.iou.input_gradient"], iou(maps, masks), atol=1e-6)
    tuned = TUNED["iou_tuned"](maps, masks, *blurred("valid_id"))
    np.testing.assert_allclose(arrays["test_ood.scored.iou_tuned.input_gradient"], tuned, atol=1e-6)
