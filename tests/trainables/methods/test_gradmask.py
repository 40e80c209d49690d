"""GradMask against closed forms of a linear model and finite differences of a smooth one."""

import numpy as np
import pytest
import torch

from trainables.methods.gradmask import class_contrast


def reduce(values: np.ndarray, outside: np.ndarray, takes_part: list[bool], preset: str) -> float:
    """Sum over everything, or mean over outside pixels of each image and then over images, in plain loops."""
    if preset == "paper":
        return float((values * outside).sum())
    means = []
    for value, out, part in zip(values, outside[:, 0], takes_part, strict=True):
        if part:
            means.append(value[:, out].mean() if out.any() else 0.0)
    return float(np.mean(means)) if means else 0.0


@pytest.mark.parametrize("preset", ["paper", "fixed"])
@pytest.mark.parametrize("channels", [1, 2])
def test_linear_model_of_two_classes(linear_net, make_batch, new_method, preset, channels):
    model, batch = linear_net(pixels=25 * channels), make_batch(channels=channels)
    weight = model.head.weight.detach().numpy()
    gradient = np.abs(weight[0] - weight[1]).reshape(1, channels, 5, 5).repeat(4, axis=0)
    loss = new_method("gradmask", strength=0.7, preset=preset).loss(model, batch)
    expected = reduce(gradient, ~batch.masks.numpy(), [True] * 4, preset)
    np.testing.assert_allclose(loss.penalty.item(), expected, rtol=1e-12)


@pytest.mark.parametrize("preset", ["paper", "fixed"])
def test_linear_model_of_three_classes_contrasts_the_label_with_the_mean_of_the_others(
    linear_net, make_batch, new_method, preset
):
    model, batch = linear_net(classes=3), make_batch(n=6, classes=3)
    w = model.head.weight.detach().numpy()
    contrast = np.stack([w[0] - (w[1] + w[2]) / 2, w[1] - (w[0] + w[2]) / 2, w[2] - (w[0] + w[1]) / 2])
    gradient = np.abs(contrast)[batch.labels.numpy()].reshape(6, 1, 5, 5)
    loss = new_method("gradmask", strength=1, preset=preset).loss(model, batch)
    expected = reduce(gradient, ~batch.masks.numpy(), [True] * 6, preset)
    np.testing.assert_allclose(loss.penalty.item(), expected, rtol=1e-12)


def test_contrast_values():
    logits = torch.tensor([[1.0, 4.0], [1.0, 4.0], [5.0, -2.0]])
    assert class_contrast(logits, torch.tensor([0, 1, 1])).tolist() == [3.0, 3.0, 7.0]
    assert class_contrast(torch.tensor([[1.0, 3.0, 8.0]]), torch.tensor([1])).tolist() == [1.5]


@pytest.mark.parametrize("preset", ["paper", "fixed"])
def test_smooth_model_against_finite_differences(smooth_net, make_batch, new_method, numeric_gradient, preset):
    model, batch = smooth_net(channels=2), make_batch(channels=2)
    method = new_method("gradmask", 5, strength=1, preset=preset)

    def contrast():
        logits = model(batch.images).logits
        return (logits[:, 0] - logits[:, 1]).abs().sum()

    gradient = numeric_gradient(contrast, batch.images).abs().numpy()
    expected = reduce(gradient, ~batch.masks.numpy(), [True] * 4, preset)
    np.testing.assert_allclose(method.loss(model, batch).penalty.item(), expected, rtol=1e-7)


@pytest.mark.parametrize("preset", ["paper", "fixed"])
@pytest.mark.parametrize("classes", [2, 3])
def test_gradient_of_the_penalty(smooth_net, make_batch, new_method, numeric_gradient, preset, classes):
    model, batch = smooth_net(classes=classes), make_batch(n=3, classes=classes)
    method = new_method("gradmask", 5, strength=1, preset=preset)
    parameters = list(model.parameters())
    # A bias of the last layer moves no input gradient, so its slope is zero or absent.
    slopes = torch.autograd.grad(method.loss(model, batch).penalty, parameters, allow_unused=True)
    assert sum(slope is not None and bool(slope.any()) for slope in slopes) >= 5
    for parameter, slope in zip(parameters, slopes, strict=True):
        numeric = numeric_gradient(lambda: method.loss(model, batch).penalty, parameter)
        analytic = torch.zeros_like(parameter) if slope is None else slope
        torch.testing.assert_close(analytic, numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("preset", ["paper", "fixed"])
@pytest.mark.parametrize("policy", ["skip", "outside", "inside"])
def test_empty_mask_policies(linear_net, make_batch, new_method, preset, policy):
    model, batch = linear_net(), make_batch(n=2, masked=1)
    weight = model.head.weight.detach().numpy()
    gradient = np.abs(weight[0] - weight[1]).reshape(5, 5)
    masked, whole = gradient[~batch.masks[0, 0].numpy()], gradient
    expected = {
        ("paper", "skip"): masked.sum(),
        ("paper", "inside"): masked.sum(),
        ("paper", "outside"): masked.sum() + whole.sum(),
        ("fixed", "skip"): masked.mean(),
        ("fixed", "inside"): masked.mean() / 2,
        ("fixed", "outside"): (masked.mean() + whole.mean()) / 2,
    }[preset, policy]
    loss = new_method("gradmask", strength=1, preset=preset, empty_mask=policy).loss(model, batch)
    np.testing.assert_allclose(loss.penalty.item(), expected, rtol=1e-12)


def test_classification_term_and_images_are_untouched(smooth_net, make_batch, new_method):
    model, batch = smooth_net(), make_batch()
    penalised = new_method("gradmask", 5, strength=1).loss(model, batch)
    plain = new_method("baseline", 5).loss(model, batch)
    assert penalised.classification.item() == plain.classification.item()
    assert not batch.images.requires_grad
