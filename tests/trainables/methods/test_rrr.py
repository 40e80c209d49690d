"""RRR against the analytic softmax gradient of a linear model and finite differences of a smooth one."""

import numpy as np
import pytest
import torch


def reduce(values: np.ndarray, outside: np.ndarray, preset: str) -> float:
    if preset == "paper":
        return float((values * outside).sum())
    return float(np.mean([value[:, out].mean() for value, out in zip(values, outside[:, 0], strict=True)]))


def input_gradient(weight: np.ndarray, images: np.ndarray) -> np.ndarray:
    """d sum_k log(p_k + 1e-11) / dx of f = W x: sum_k p_k / (p_k + 1e-11) (W_k − sum_j p_j W_j)."""
    gradients = []
    for x in images.reshape(len(images), -1):
        f = weight @ x
        p = np.exp(f - f.max())
        p /= p.sum()
        gradients.append(sum(p[k] / (p[k] + 1e-11) * (weight[k] - p @ weight) for k in range(len(p))))
    return np.stack(gradients).reshape(images.shape)


@pytest.mark.parametrize("preset", ["paper", "fixed"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("channels", [1, 2])
def test_linear_model(linear_net, make_batch, new_method, preset, classes, channels):
    model = linear_net(classes=classes, pixels=25 * channels)
    batch = make_batch(channels=channels, classes=classes)
    gradient = input_gradient(model.head.weight.detach().numpy(), batch.images.numpy())
    loss = new_method("rrr", strength=2, preset=preset).loss(model, batch)
    np.testing.assert_allclose(loss.penalty.item(), reduce(gradient**2, ~batch.masks.numpy(), preset), rtol=1e-9)


@pytest.mark.parametrize("preset", ["paper", "fixed"])
def test_a_vanishing_probability_is_bounded_by_1e_11(linear_net, make_batch, new_method, preset):
    batch = make_batch(n=1)
    direction = np.random.default_rng(1).normal(size=25)
    direction *= 27.6 / (direction @ batch.images.flatten().numpy())
    weight = np.stack([direction, np.zeros(25)])
    p_small = 1 / (1 + np.exp(27.6))
    assert 5e-13 < p_small < 2e-12
    # p_1 / (p_1 + 1e-11) is about 0.09, so without the constant the gradient would be far larger.
    slope = (1 - p_small) / (1 - p_small + 1e-11) * p_small - p_small / (p_small + 1e-11) * (1 - p_small)
    gradient = (slope * direction).reshape(1, 1, 5, 5)
    loss = new_method("rrr", strength=1, preset=preset).loss(linear_net(weight), batch)
    np.testing.assert_allclose(loss.penalty.item(), reduce(gradient**2, ~batch.masks.numpy(), preset), rtol=1e-6)


@pytest.mark.parametrize("preset", ["paper", "fixed"])
def test_smooth_model_against_finite_differences(smooth_net, make_batch, new_method, numeric_gradient, preset):
    model, batch = smooth_net(classes=3), make_batch(classes=3)
    method = new_method("rrr", 5, strength=1, preset=preset)

    def log_probabilities():
        return (model(batch.images).logits.softmax(dim=1) + 1e-11).log().sum()

    gradient = numeric_gradient(log_probabilities, batch.images).numpy()
    expected = reduce(gradient**2, ~batch.masks.numpy(), preset)
    np.testing.assert_allclose(method.loss(model, batch).penalty.item(), expected, rtol=1e-7)


@pytest.mark.parametrize("preset", ["paper", "fixed"])
def test_gradient_of_the_penalty(smooth_net, make_batch, new_method, numeric_gradient, preset):
    model, batch = smooth_net(), make_batch(n=3)
    method = new_method("rrr", 5, strength=1, preset=preset)
    parameters = list(model.parameters())
    slopes = torch.autograd.grad(method.loss(model, batch).penalty, parameters)
    assert all(slope.any() for slope in slopes)
    for parameter, slope in zip(parameters, slopes, strict=True):
        numeric = numeric_gradient(lambda: method.loss(model, batch).penalty, parameter)
        torch.testing.assert_close(slope, numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("preset", ["paper", "fixed"])
@pytest.mark.parametrize("policy", ["skip", "outside", "inside"])
def test_empty_mask_policies(linear_net, make_batch, new_method, preset, policy):
    model, batch = linear_net(), make_batch(n=2, masked=1)
    squares = input_gradient(model.head.weight.detach().numpy(), batch.images.numpy()) ** 2
    masked, whole = squares[0, 0][~batch.masks[0, 0].numpy()], squares[1, 0]
    expected = {
        ("paper", "skip"): masked.sum(),
        ("paper", "inside"): masked.sum(),
        ("paper", "outside"): masked.sum() + whole.sum(),
        ("fixed", "skip"): masked.mean(),
        ("fixed", "inside"): masked.mean() / 2,
        ("fixed", "outside"): (masked.mean() + whole.mean()) / 2,
    }[preset, policy]
    loss = new_method("rrr", strength=1, preset=preset, empty_mask=policy).loss(model, batch)
    np.testing.assert_allclose(loss.penalty.item(), expected, rtol=1e-9)


def test_classification_term_and_images_are_untouched(smooth_net, make_batch, new_method):
    model, batch = smooth_net(), make_batch()
    penalised = new_method("rrr", 5, strength=1).loss(model, batch)
    plain = new_method("baseline", 5).loss(model, batch)
    assert penalised.classification.item() == plain.classification.item()
    assert not batch.images.requires_grad
