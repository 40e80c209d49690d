"""The predicted region against the paper's loop with numpy.percentile."""

import numpy as np
import pytest
import torch

from trainables.saliency.localisation.overlap import predicted_region


def region_by_percentile(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    q = 100 - 100 * mask.sum() / mask.size
    return (image > np.percentile(image, q)) & (image > 0)


def random_maps(ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    maps = rng.random((300, 9, 11)).astype(np.float32)
    if ties:
        maps = np.round(maps * 6) / 6
        maps[:50] *= rng.random((50, 9, 11)) < 0.2  # mostly zero
    masks = rng.random((300, 9, 11)) < rng.random((300, 1, 1))
    masks[0], masks[1] = False, True
    return maps, masks


@pytest.mark.parametrize("ties", [False, True])
def test_equals_percentile_loop(ties):
    maps, masks = random_maps(ties)
    result = predicted_region(torch.from_numpy(maps), torch.from_numpy(masks)).numpy()
    expected = np.stack([region_by_percentile(m, mask) for m, mask in zip(maps, masks, strict=True)])
    np.testing.assert_array_equal(result, expected)


def test_without_ties_it_has_the_masks_area():
    maps, masks = random_maps(ties=False)
    result = predicted_region(torch.from_numpy(maps), torch.from_numpy(masks))
    partial = torch.from_numpy(masks).flatten(1).sum(dim=1) < 99
    assert torch.equal(result.flatten(1).sum(dim=1)[partial], torch.from_numpy(masks).flatten(1).sum(dim=1)[partial])


def test_ties_at_the_threshold_shrink_it_and_zeros_never_count():
    mask = torch.tensor([[[True, True, False, False]]])
    assert predicted_region(torch.tensor([[[0.0, 2.0, 2.0, 2.0]]]), mask).sum() == 0
    assert predicted_region(torch.tensor([[[0.0, 3.0, 2.0, 2.0]]]), mask).tolist() == [[[False, True, False, False]]]
    assert predicted_region(torch.tensor([[[0.0, 3.0, 0.0, 0.0]]]), mask).tolist() == [[[False, True, False, False]]]


def test_only_positive_evidence_counts():
    # Three pixels lie above the percentile of this signed map; zero and negative ones do not predict.
    mask = torch.tensor([[[True, True, True, False]]])
    maps = torch.tensor([[[-3.0, -2.0, 0.0, 1.0]]])
    assert predicted_region(maps, mask).tolist() == [[[False, False, False, True]]]
