"""Right for better reasons: influence, penalty and its slope against differences of the loss alone."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from trainables.methods.right_for_better_reasons import influence


def shifted_loss(model, batch, by):
    """The summed cross-entropy when `by` is added to every parameter."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(by)
        loss = cross_entropy(model(batch.images).logits, batch.labels, reduction="sum")
        for parameter in model.parameters():
            parameter.sub_(by)
    return loss


@pytest.fixture
def differences(numeric_gradient):
    """differences(model, batch): IF and IG as differences of losses and log-probabilities, in numpy."""

    def of(model, batch, step=1e-4):
        def influenced():
            return (shifted_loss(model, batch, step) - shifted_loss(model, batch, -step)) / (2 * step)

        def log_probabilities():
            with torch.no_grad():
                return model(batch.images).logits.log_softmax(dim=1).sum()

        return [numeric_gradient(f, batch.images, step=1e-4).numpy() for f in (influenced, log_probabilities)]

    return of


@pytest.mark.parametrize("classes", [2, 3])
def test_influence_is_the_slope_of_what_training_takes_from_an_image(smooth_net, make_batch, differences, classes):
    model, batch = smooth_net(classes=classes), make_batch(n=3, classes=classes)
    expected, _ = differences(model, batch)
    images = batch.images.clone().requires_grad_()
    found = influence(model, model(images).logits, images, batch.labels).detach().numpy()
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("preset", ["fixed", "paper"])
def test_penalty_by_hand(smooth_net, make_batch, new_method, differences, preset):
    model, batch = smooth_net(), make_batch(n=3, masked=2)
    influences, gradients = differences(model, batch)
    squares = (influences * gradients) ** 2 * ~batch.masks.numpy()
    expected = squares.sum()
    if preset == "fixed":
        expected = np.mean([squares[i].sum() / (~batch.masks[i]).sum().item() for i in range(2)])
    loss = new_method("right_for_better_reasons", strength=1, preset=preset).loss(model, batch)
    np.testing.assert_allclose(loss.penalty.item(), expected, rtol=1e-3)
    np.testing.assert_allclose(
        loss.classification.item(), cross_entropy(model(batch.images).logits, batch.labels).item(), rtol=1e-12
    )


def test_the_penaltys_slope_is_that_of_its_differences(smooth_net, make_batch, new_method, numeric_gradient):
    model, batch = smooth_net(), make_batch(n=2)
    method = new_method("right_for_better_reasons", strength=1)
    method.loss(model, batch).penalty.backward()
    for parameter in (model.trunk[0].bias, model.trunk[2].bias, model.head.weight):
        expected = numeric_gradient(lambda: method.loss(model, batch).penalty, parameter)
        scale = expected.abs().max().item()
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-5, atol=1e-6 * scale)
