"""Expected gradients: exact for a linear model, and they add up to the difference of the logits for any other."""

import numpy as np
import pytest
import torch

from trainables.methods.input_gradients import expected_gradients


@pytest.mark.parametrize("preset", ["paper", "fixed"])
def test_linear_model(linear_net, make_batch, new_method, preset):
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
