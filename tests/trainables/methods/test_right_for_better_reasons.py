"""Right for better reasons: influence, penalty and its slope against differences of the loss alone."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from trainables.methods.right_for_better_reasons import ElementaryBatchNorm, influence


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
def test_influence_against_differences(smooth_net, make_batch, differences, classes):
    model, batch = smooth_net(classes=classes), make_batch(n=3, classes=classes)
    expected, _ = differences(model, batch)
    images = batch.images.clone().requires_grad_()
    result = influence(model, model(images).logits, images, batch.labels).detach().numpy()
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("preset", ["fixed", "paper"])
def test_penalty_by_hand(smooth_net, make_batch, new_method, differences, preset):
    model, batch = smooth_net(), make_batch(n=3, masked=2)
    influences, gradients = differences(model, batch)
    if preset == "paper":
        influences /= 3  # of the mean cross-entropy of three images
    squares = (influences * gradients) ** 2 * ~batch.masks.numpy()
    expected = squares.sum()
    if preset == "fixed":
        expected = np.mean([squares[i].sum() / (~batch.masks[i]).sum().item() for i in range(2)])
    loss = new_method("right_for_better_reasons", strength=1, preset=preset).loss(model, batch)
    np.testing.assert_allclose(loss.penalty.item(), expected, rtol=1e-3)
    np.testing.assert_allclose(
        loss.classification.item(), cross_entropy(model(batch.images).logits, batch.labels).item(), rtol=1e-12
    )


def layer(kind: type[nn.Module] = nn.BatchNorm2d, **settings) -> nn.Module:
    """A layer of three channels whose weights and running statistics are none of the defaults."""
    made = kind(3, **settings).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in (*made.parameters(), *made.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5)
    return made


CASES = [
    (nn.BatchNorm2d, {}, (4, 3, 5, 6)),
    (nn.BatchNorm2d, {"affine": False}, (4, 3, 5, 6)),
    (nn.BatchNorm2d, {"track_running_stats": False}, (4, 3, 5, 6)),
    (nn.BatchNorm2d, {"momentum": None, "eps": 0.1}, (4, 3, 5, 6)),
    (nn.BatchNorm1d, {}, (4, 3)),
    (nn.BatchNorm1d, {}, (4, 3, 7)),
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("kind", "settings", "shape"), CASES)
def test_values_and_running_statistics_are_torchs(kind, settings, shape, training):
    theirs = layer(kind, **settings).train(training)
    ours = copy.deepcopy(theirs)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = theirs(images)
    with ElementaryBatchNorm():
        result = ours(images)
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)
    for name, buffer in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], buffer, rtol=1e-12, atol=1e-12)


def test_batch_normalisation_is_restored_after_the_block():
    images = torch.ones(2, 3, 2, 2, requires_grad=True, dtype=torch.float64)
    with ElementaryBatchNorm():
        inside = layer()(images)
    assert "BatchNorm" not in type(inside.grad_fn).__name__
    assert "BatchNorm" in type(layer()(images).grad_fn).__name__


def test_half_precision_is_normalised_as_in_torch():
    theirs, ours = layer().float(), layer().float()
    images = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(3)).bfloat16()
    expected = theirs(images)
    with ElementaryBatchNorm():
        result = ours(images)
    assert result.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
