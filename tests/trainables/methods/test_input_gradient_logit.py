"""The gradient of the true logit against a linear model's weights and finite differences of a smooth model."""

import numpy as np
import pytest


def reduce(squares: np.ndarray, outside: np.ndarray, preset: str) -> float:
    """Mean over all pixels of each image (the source's), or over its outside pixels; then over images."""
    if preset == "paper":
        return float((squares * outside).mean())
    return float(np.mean([value[:, out].mean() for value, out in zip(squares, outside[:, 0], strict=True)]))


@pytest.mark.parametrize("preset", ["paper", "fixed"])
def test_linear_model(linear_net, make_batch, new_method, preset):
    model, batch = linear_net(classes=3, pixels=50), make_batch(n=6, channels=2, classes=3)
    gradient = model.head.weight.detach().numpy()[batch.labels.numpy()].reshape(6, 2, 5, 5)
    loss = new_method("input_gradient_logit", strength=2, preset=preset).loss(model, batch)
    expected = reduce(gradient**2, ~batch.masks.numpy(), preset)
    np.testing.assert_allclose(loss.penalty.item(), expected, rtol=1e-12)


@pytest.mark.parametrize("preset", ["paper", "fixed"])
def test_smooth_model_against_finite_differences(smooth_net, make_batch, new_method, numeric_gradient, preset):
    model, batch = smooth_net(), make_batch()

    def scores():
        return model(batch.images).logits[range(4), batch.labels].sum()

    gradient = numeric_gradient(scores, batch.images).numpy()
    loss = new_method("input_gradient_logit", 5, strength=1, preset=preset).loss(model, batch)
    expected = reduce(gradient**2, ~batch.masks.numpy(), preset)
    np.testing.assert_allclose(loss.penalty.item(), expected, rtol=1e-7)


@pytest.mark.parametrize(("policy", "expected"), [("skip", "masked"), ("inside", "half"), ("outside", "both")])
def test_empty_mask_policies(linear_net, make_batch, new_method, policy, expected):
    model, batch = linear_net(), make_batch(n=2, masked=1)
    squares = model.head.weight.detach().numpy().reshape(2, 5, 5) ** 2
    masked, whole = squares[0][~batch.masks[0, 0].numpy()].mean(), squares[1].mean()
    value = {"masked": masked, "half": masked / 2, "both": (masked + whole) / 2}[expected]
    loss = new_method("input_gradient_logit", strength=1, empty_mask=policy).loss(model, batch)
    np.testing.assert_allclose(loss.penalty.item(), value, rtol=1e-12)
