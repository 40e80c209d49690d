"""ActDiff against numpy norms, and the weight of each preset."""

import numpy as np
import pytest
import torch

from trainables.methods.actdiff import actdiff_penalty
from trainables.methods.parts.altered import shuffle_outside

ALL = torch.ones(4, dtype=torch.bool)


def test_constant_is_added_to_shuffled_minus_plain():
    # With x~ − x = −1e-6 in every feature the norm is zero; with the sign reversed it would be 2e-6 sqrt(6).
    plain = torch.zeros(4, 6, dtype=torch.float64)
    assert actdiff_penalty(plain, plain - 1e-6, ALL).item() == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("preset", ["paper", "fixed"])
def test_method_compares_the_images_with_their_shuffled_twins(linear_net, make_batch, new_method, preset):
    model, batch = linear_net(pixels=50), make_batch(channels=2)
    loss = new_method("actdiff", strength=0.3, preset=preset).loss(model, batch)
    shuffled, plain = model.calls
    assert torch.equal(plain, batch.images), "the shuffled pass comes first"
    expected = shuffle_outside(batch.images, ~batch.masks, torch.Generator().manual_seed(0))
    assert torch.equal(shuffled, expected)
    difference = (expected - batch.images).flatten(1).numpy() + 1e-6
    np.testing.assert_allclose(loss.penalty.item(), np.linalg.norm(difference, axis=1).mean(), rtol=1e-12)
    logits = plain.flatten(1) @ model.head.weight.detach().T
    rows = torch.arange(4)
    entropy = (logits.logsumexp(dim=1) - logits[rows, batch.labels]).mean()
    np.testing.assert_allclose(loss.classification.item(), entropy.item(), rtol=1e-12)


@pytest.mark.parametrize(
    ("preset", "strength", "weight"),
    [("paper", 0.003, 1.0), ("paper", 7.0, 1.0), ("paper", 0.0, 0.0), ("fixed", 0.003, 0.003), ("fixed", 0.0, 0.0)],
)
def test_weight(new_method, preset, strength, weight):
    assert new_method("actdiff", strength=strength, preset=preset).weight == weight
