"""GradMask, RRR, the logit's input gradient and expected gradients against closed forms of a linear model."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.methods.input_gradients import expected_gradients

PRESETS = ("paper", "fixed")


def contrast_slope(weight: np.ndarray, image: np.ndarray, label: int) -> np.ndarray:
    return weight[label] - np.delete(weight, label, axis=0).mean(axis=0)


def log_probability_slope(weight: np.ndarray, image: np.ndarray, label: int) -> np.ndarray:
    """d sum_k log(p_k + 1e-11) / dx of f = W x: sum_k p_k / (p_k + 1e-11) (W_k − sum_j p_j W_j)."""
    f = weight @ image
    p = np.exp(f - f.max())
    p /= p.sum()
    return sum(p[k] / (p[k] + 1e-11) * (weight[k] - p @ weight) for k in range(len(p)))


# The slope of an image's score in a linear model up to the sign, and the size of a slope.
REFERENCES = {
    "gradmask": (contrast_slope, np.abs),
    "rrr": (log_probability_slope, np.square),
    "input_gradient_logit": (lambda weight, image, label: weight[label], np.square),
}


def sizes_of(name: str, model, batch) -> np.ndarray:
    """Size of the input gradient of a linear model at each pixel."""
    weight, (slope, size) = model.head.weight.detach().numpy(), REFERENCES[name]
    pairs = zip(batch.images.flatten(1).numpy(), batch.labels.tolist(), strict=True)
    return size(np.stack([slope(weight, image, label) for image, label in pairs])).reshape(batch.images.shape)


def reduced(name: str, preset: str, parts: Sequence[np.ndarray], pixels: int) -> float:
    """The penalty of the sizes outside the mask of each image that takes part, `pixels` the values of an image."""
    if preset == "fixed":
        return float(np.mean([part.mean() for part in parts]))
    if name == "input_gradient_logit":
        return float(np.mean([part.sum() / pixels for part in parts]))
    return float(sum(part.sum() for part in parts))


def outside(sizes: np.ndarray, masks: Tensor) -> list[np.ndarray]:
    return [size[:, out] for size, out in zip(sizes, ~masks[:, 0].numpy(), strict=True)]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", REFERENCES)
def test_linear_model(linear_net, make_batch, new_method, name, preset, classes, channels):
    model = linear_net(classes=classes, pixels=25 * channels)
    batch = make_batch(n=6, channels=channels, classes=classes)
    loss = new_method(name, strength=0.7, preset=preset).loss(model, batch)
    expected = reduced(name, preset, outside(sizes_of(name, model, batch), batch.masks), 25 * channels)
    np.testing.assert_allclose(loss.penalty.item(), expected, rtol=1e-9)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_vanishing_probability_is_bounded_by_1e_11(linear_net, make_batch, new_method, preset):
    batch = make_batch(n=1)
    direction = np.random.default_rng(1).normal(size=25)
    direction *= 27.6 / (direction @ batch.images.flatten().numpy())
    weight = np.stack([direction, np.zeros(25)])
    p_small = 1 / (1 + np.exp(27.6))
    assert 5e-13 < p_small < 2e-12
    # p_1 / (p_1 + 1e-11) is about 0.09, so without the constant the gradient would be far larger.
    slope = (1 - p_small) / (1 - p_small + 1e-11) * p_small - p_small / (p_small + 1e-11) * (1 - p_small)
    squares = (slope * direction).reshape(1, 1, 5, 5) ** 2
    loss = new_method("rrr", strength=1, preset=preset).loss(linear_net(weight), batch)
    np.testing.assert_allclose(
        loss.penalty.item(), reduced("rrr", preset, outside(squares, batch.masks), 25), rtol=1e-6
    )


@pytest.mark.parametrize("preset", ["paper", "fixed"])
def test_expected_gradients_of_a_linear_model(linear_net, make_batch, new_method, preset):
    # With two images each is the other's reference, whatever is drawn.
    model, batch = linear_net(), make_batch(n=2)
    images, outside = batch.images.numpy(), ~batch.masks.numpy()
    weight = model.head.weight.detach().numpy()[batch.labels.numpy()].reshape(2, 1, 5, 5)
    values = np.abs((images - images[::-1]) * weight)
    loss = new_method("expected_gradients", strength=1, preset=preset).loss(model, batch)
    fixed = np.mean([value[out].mean() for value, out in zip(values, outside, strict=True)])
    expected = (values * outside).sum() if preset == "paper" else fixed
    np.testing.assert_allclose(loss.penalty.item(), expected, rtol=1e-12)


def test_attributions_sum_to_the_difference_of_logits(smooth_net, make_batch):
    model, batch = smooth_net(), make_batch(n=2)
    logits = model(batch.images).logits.detach()
    difference = torch.stack([logits[0, 0] - logits[1, 0], logits[1, 1] - logits[0, 1]])
    rng = torch.Generator().manual_seed(3)
    draws = [expected_gradients(model, batch.images, batch.labels, rng).sum(dim=(1, 2, 3)) for _ in range(200)]
    sums = torch.stack(draws).detach()
    error = sums.std(dim=0) / np.sqrt(len(sums))
    assert ((sums.mean(dim=0) - difference).abs() < 3 * error).all()
    assert (error < 0.2 * difference.abs()).all(), "the draws say something"


def test_an_image_is_never_its_own_reference_unless_it_is_alone(smooth_net, make_batch):
    rng = torch.Generator().manual_seed(0)
    for n, alone in ((1, True), (3, False)):
        batch = make_batch(n=n)
        for _ in range(8):
            attributions = expected_gradients(smooth_net(), batch.images, batch.labels, rng)
            assert attributions.flatten(1).any(dim=1).tolist() == [not alone] * n
