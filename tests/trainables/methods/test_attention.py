"""Energy, RRR on Grad-CAM, HINT and GAIN against maps in closed form: the positive part of W_c · A / (h · w)."""

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from trainables.methods.attention import energy_penalty
from trainables.methods.parts.grad_cam import share_of_cells, unit_range


def maps_of(model, batch, classes: np.ndarray, signed: bool = False) -> np.ndarray:
    """Grad-CAM of one class an image, each scaled to [0, 1], with or without its negative values."""
    last = model.trunk(batch.images).detach().numpy()
    weights = model.head.weight.detach().numpy()[classes]
    maps = np.einsum("bk,bkij->bij", weights, last) / 25
    if signed:
        assert (maps.min(axis=(1, 2)) < 0).any()
    else:
        maps = np.maximum(maps, 0)
    assert maps.any(axis=(1, 2)).sum() > 1
    return np.stack([(m - m.min()) / (np.ptp(m) or 1) for m in maps])


@pytest.mark.parametrize("preset", ["paper", "fixed"])
def test_rrr_grad_cam_is_of_the_predicted_class(smooth_net, make_batch, new_method, preset):
    model, batch = smooth_net(classes=3), make_batch(n=6, classes=3)
    with torch.no_grad():
        model.head.weight -= model.head.weight.mean(dim=1, keepdim=True)  # maps of both signs
    predicted = model(batch.images).logits.argmax(dim=1).numpy()
    assert (predicted != batch.labels.numpy()).any()
    squares = maps_of(model, batch, predicted, signed=preset == "paper") ** 2
    outside = ~batch.masks[:, 0].numpy()
    fixed = np.mean([square[out].mean() for square, out in zip(squares, outside, strict=True)])
    expected = squares[outside].sum() if preset == "paper" else fixed
    loss = new_method("rrr_grad_cam", 5, strength=1, preset=preset).loss(model, batch)
    np.testing.assert_allclose(loss.penalty.item(), expected, rtol=1e-9)


def test_hint_is_the_squared_error_to_the_mask(smooth_net, make_batch, new_method):
    model, batch = smooth_net(), make_batch()
    errors = (maps_of(model, batch, batch.labels.numpy()) - batch.masks[:, 0].numpy()) ** 2
    loss = new_method("hint", 5, strength=1).loss(model, batch)
    np.testing.assert_allclose(loss.penalty.item(), errors.mean(), rtol=1e-9)


@pytest.mark.parametrize(("alpha", "w"), [(1.0, 10.0), (2.0, 0.0), (0.0, 3.0)])
def test_gain_by_hand(smooth_net, make_batch, new_method, alpha, w):
    model, batch = smooth_net(channels=2), make_batch(channels=2)
    maps = maps_of(model, batch, batch.labels.numpy())
    rest = batch.images.numpy() * (1 - expit(10 * (maps - 0.5)))[:, None]
    logits = model(torch.from_numpy(rest)).logits.detach().numpy()
    mining = softmax(logits, axis=1)[np.arange(4), batch.labels.numpy()].mean()
    distance = ((maps - batch.masks[:, 0].numpy()) ** 2).mean()
    method = new_method("gain", 5, strength=1, gain_mining_weight=alpha, gain_map_weight=w)
    np.testing.assert_allclose(method.loss(model, batch).penalty.item(), alpha * mining + w * distance, rtol=1e-9)


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


def test_energy_of_grad_cam(smooth_net, make_batch, new_method):
    model, batch = smooth_net(), make_batch()
    weights = model.head.weight.detach().numpy()[batch.labels.numpy()]
    maps = np.maximum(np.einsum("bk,bkij->bij", weights, model.trunk(batch.images).detach().numpy()), 0)
    loss = new_method("energy", 5, strength=1, energy_map="grad_cam").loss(model, batch)
    np.testing.assert_allclose(loss.penalty.item(), outside_share(maps, batch.masks[:, 0].numpy()), rtol=1e-9)


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
