"""Baseline, Masked and Shuffled: cross-entropy on the images each of them trains on."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from trainables.methods.parts.altered import shuffle_outside


def check_loss(method, model, batch, expected):
    """The method trains on the `expected` images, by the mean cross-entropy."""
    loss = method.loss(model, batch)
    assert torch.equal(model.calls[-1], expected)
    logits = expected.flatten(1).numpy() @ model.head.weight.detach().numpy().T
    entropy = logsumexp(logits, axis=1) - logits[np.arange(len(logits)), batch.labels.numpy()]
    np.testing.assert_allclose(loss.classification.item(), entropy.mean(), rtol=1e-12)
    assert loss.penalty.item() == 0
    assert loss.updates_model


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("preset", ["fixed", "paper"])
def test_baseline_is_cross_entropy_of_the_images(linear_net, make_batch, new_method, classes, preset):
    batch = make_batch(n=6, classes=classes)
    check_loss(new_method("baseline", preset=preset), linear_net(classes=classes), batch, batch.images)


# Without a policy: the paper preset, whose default treats a maskless image as all outside.
@pytest.mark.parametrize("policy", ["skip", "inside", "outside", None])
@pytest.mark.parametrize("name", ["masked", "shuffled"])
def test_outside_pixels_are_altered(linear_net, make_batch, new_method, name, policy):
    settings = {"preset": "paper"} if policy is None else {"empty_mask": policy}
    model, batch, method = linear_net(pixels=50), make_batch(n=3, channels=2, masked=2), new_method(name, **settings)
    outside = ~batch.masks.clone()
    outside[2] = policy in ("outside", None)
    shuffled = shuffle_outside(batch.images, outside, torch.Generator().manual_seed(0))
    check_loss(method, model, batch, shuffled if name == "shuffled" else batch.images * ~outside)
    method.loss(model, batch)
    assert torch.equal(*model.calls) == (name == "masked"), "each step shuffles anew"
