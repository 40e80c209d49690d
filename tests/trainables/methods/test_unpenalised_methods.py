"""Baseline, Masked and Shuffled: cross-entropy on the images each of them trains on."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from trainables.methods.parts.altered import shuffle_outside


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]))


def seen_and_loss(method, model, batch):
    loss = method.loss(model, batch)
    (seen,) = model.calls
    return seen, loss


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("preset", ["fixed", "paper"])
def test_baseline_is_cross_entropy_of_the_images(linear_net, make_batch, new_method, classes, preset):
    model, batch = linear_net(classes=classes), make_batch(n=6, classes=classes)
    seen, loss = seen_and_loss(new_method("baseline", preset=preset), model, batch)
    assert torch.equal(seen, batch.images)
    logits = batch.images.flatten(1).numpy() @ model.head.weight.detach().numpy().T
    np.testing.assert_allclose(loss.classification.item(), cross_entropy(logits, batch.labels.numpy()), rtol=1e-12)
    assert loss.penalty.item() == 0
    assert loss.updates_model


@pytest.mark.parametrize(
    ("policy", "empty_becomes"), [("skip", "kept"), ("inside", "kept"), ("outside", "zero"), (None, "zero")]
)
def test_masked_zeroes_outside_pixels(linear_net, make_batch, new_method, policy, empty_becomes):
    # None: the paper preset, whose default treats a maskless image as all outside.
    settings = {"preset": "paper"} if policy is None else {"empty_mask": policy}
    model, batch = linear_net(pixels=50), make_batch(n=3, channels=2, masked=2)
    seen, loss = seen_and_loss(new_method("masked", **settings), model, batch)
    expected = batch.images.numpy() * batch.masks.numpy()
    if empty_becomes == "kept":
        expected[2] = batch.images[2].numpy()
    np.testing.assert_array_equal(seen.numpy(), expected)
    logits = expected.reshape(3, -1) @ model.head.weight.detach().numpy().T
    np.testing.assert_allclose(loss.classification.item(), cross_entropy(logits, batch.labels.numpy()), rtol=1e-12)
    assert loss.penalty.item() == 0


@pytest.mark.parametrize(
    ("policy", "empty_becomes"), [("skip", "kept"), ("inside", "kept"), ("outside", "shuffled"), (None, "shuffled")]
)
def test_shuffled_permutes_outside_pixels(linear_net, make_batch, new_method, policy, empty_becomes):
    settings = {"preset": "paper"} if policy is None else {"empty_mask": policy}
    model, batch = linear_net(pixels=50), make_batch(n=3, channels=2, masked=2)
    seen, loss = seen_and_loss(new_method("shuffled", **settings), model, batch)
    outside = ~batch.masks.clone()
    outside[2] = empty_becomes == "shuffled"
    expected = shuffle_outside(batch.images, outside, torch.Generator().manual_seed(0))
    assert torch.equal(seen, expected)
    assert torch.equal(seen[2], batch.images[2]) == (empty_becomes == "kept")
    logits = expected.flatten(1).numpy() @ model.head.weight.detach().numpy().T
    np.testing.assert_allclose(loss.classification.item(), cross_entropy(logits, batch.labels.numpy()), rtol=1e-12)
    assert loss.penalty.item() == 0


def test_shuffled_redraws_at_each_step(linear_net, make_batch, new_method):
    model, batch, method = linear_net(), make_batch(), new_method("shuffled")
    method.loss(model, batch)
    method.loss(model, batch)
    assert not torch.equal(*model.calls)
