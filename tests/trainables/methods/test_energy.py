"""The energy loss against finite differences, and Grad-CAM against its closed form, with masks counted by hand."""

import numpy as np
import torch

from trainables.methods.attention import energy_penalty
from trainables.methods.parts.grad_cam import grad_cam, share_of_cells, unit_range


def outside_share(maps: np.ndarray, inside: np.ndarray) -> float:
    """1 − sum(A · M) / sum(A), the source's form; mean over images."""
    shares = [1 - (a * m).sum() / a.sum() if a.any() else 0.0 for a, m in zip(maps, inside, strict=True)]
    assert sum(share > 0 for share in shares) > 1
    return float(np.mean(shares))


def test_input_x_gradient_against_finite_differences(smooth_net, make_batch, new_method, numeric_gradient):
    model, batch = smooth_net(channels=2), make_batch(channels=2)

    def scores():
        return model(batch.images).logits[range(4), batch.labels].sum()

    maps = np.maximum((batch.images * numeric_gradient(scores, batch.images)).sum(dim=1).numpy(), 0)
    loss = new_method("energy", 5, strength=1).loss(model, batch)
    np.testing.assert_allclose(loss.penalty.item(), outside_share(maps, batch.masks[:, 0].numpy()), rtol=1e-7)


def test_grad_cam_of_the_last_map_is_the_class_activation_map(smooth_net, make_batch, new_method):
    model, batch = smooth_net(), make_batch()
    last = model.trunk(batch.images).detach().numpy()
    weights = model.head.weight.detach().numpy()[batch.labels.numpy()]
    closed = np.maximum(np.einsum("bk,bkij->bij", weights, last) / 25, 0)
    maps = model.trunk(batch.images)
    scores = model.read(maps).logits[range(4), batch.labels]
    np.testing.assert_allclose(grad_cam(scores, maps).detach().numpy(), closed, rtol=1e-10)
    loss = new_method("energy", 5, strength=1, energy_map="grad_cam").loss(model, batch)
    np.testing.assert_allclose(loss.penalty.item(), outside_share(closed, batch.masks[:, 0].numpy()), rtol=1e-9)


def test_an_all_zero_map_contributes_nothing():
    maps = torch.zeros(2, 3, 3, dtype=torch.float64)
    maps[0, 0, :2] = torch.tensor([1.0, 3.0])
    outside = torch.zeros(2, 3, 3, dtype=torch.float64)
    outside[:, 0, 0] = 1
    assert energy_penalty(maps, outside, torch.ones(2, dtype=torch.bool)).item() == 0.125


def test_cells_and_range_by_hand():
    pixels = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    pixels[0, 0, :2, :3] = True
    assert share_of_cells(pixels, torch.zeros(1, 2, 2)).tolist() == [[[1.0, 0.5], [0.0, 0.0]]]
    maps = torch.tensor([[[1.0, 3.0]], [[2.0, 2.0]]])
    assert unit_range(maps).tolist() == [[[0.0, 1.0]], [[0.0, 0.0]]]
