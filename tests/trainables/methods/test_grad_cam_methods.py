"""RRR on Grad-CAM, HINT and GAIN against maps in closed form: Grad-CAM is the positive part of W_c · A / (h · w)."""

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax


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
