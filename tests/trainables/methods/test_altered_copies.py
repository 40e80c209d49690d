"""Methods that train on altered twins: what the twins are, and the cross-entropy of a linear model on them."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from trainables.models.initialise import initialise

EXTRA_PASSES = ("corm", "counterexamples", "counterfactual_fill", "expected_gradients", "gain", "logit_invariance")
EXTRA_PASSES += ("pgd_ex", "saliency_guided")


def entropies(model, images, labels) -> np.ndarray:
    """CE of each image under the linear model, in numpy."""
    logits = images.flatten(1).numpy() @ model.head.weight.detach().numpy().T
    return logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels.numpy()]


def test_corm_adds_gaussian_noise_outside_alone(linear_net, make_batch, new_method):
    model, batch = linear_net(pixels=50), make_batch(n=3, channels=2)
    loss = new_method("corm", strength=1, corm_noise=0.7).loss(model, batch)
    plain, noisy = model.calls
    assert torch.equal(plain, batch.images)
    draw = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(noisy, batch.images + 0.7 * draw * ~batch.masks)
    np.testing.assert_allclose(loss.penalty.item(), entropies(model, noisy, batch.labels).mean(), rtol=1e-12)
    np.testing.assert_allclose(loss.classification.item(), entropies(model, plain, batch.labels).mean(), rtol=1e-12)


def test_counterexamples_have_random_pixels_outside_in_the_images_range(linear_net, make_batch, new_method):
    model, batch = linear_net(pixels=800), make_batch(n=2, channels=2, side=20)
    loss = new_method("counterexamples", strength=1, counterexample_copies=3).loss(model, batch)
    plain, *copies = model.calls
    assert torch.equal(plain, batch.images)
    assert len(copies) == 3
    assert not torch.equal(copies[0], copies[1]), "each copy is drawn anew"
    low, high = batch.images.amin(dim=(2, 3)), batch.images.amax(dim=(2, 3))
    for copy in copies:
        assert torch.equal(copy * batch.masks, batch.images * batch.masks)
        for i in range(2):
            for c in range(2):
                drawn = (copy[i, c][~batch.masks[i, 0]] - low[i, c]) / (high[i, c] - low[i, c])
                # About 280 uniform draws: their mean has a standard error of 0.017.
                assert ((drawn >= 0) & (drawn <= 1)).all()
                assert abs(drawn.mean() - 0.5) < 0.07
    expected = np.mean([entropies(model, copy, batch.labels).mean() for copy in copies])
    np.testing.assert_allclose(loss.penalty.item(), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["corm", "counterexamples"])
@pytest.mark.parametrize("policy", ["skip", "outside", "inside"])
def test_empty_mask_policies(linear_net, make_batch, new_method, name, policy):
    model, batch = linear_net(), make_batch(n=2, masked=1)
    loss = new_method(name, strength=1, empty_mask=policy).loss(model, batch)
    _, altered = model.calls
    assert torch.equal(altered[1], batch.images[1]) == (policy != "outside")
    own = entropies(model, altered, batch.labels)
    np.testing.assert_allclose(loss.penalty.item(), own[0] if policy == "skip" else own.mean(), rtol=1e-12)


@pytest.mark.parametrize("name", sorted(EXTRA_PASSES))
def test_running_statistics_are_those_of_the_images_alone(make_batch, new_method, name):
    batch = make_batch(side=8)
    batch = type(batch)(batch.images.float(), batch.labels, batch.masks, batch.rng)
    model, reference = (initialise("small_cnn", 1, 2, seed=0).train() for _ in range(2))
    new_method(name, 64, strength=1).loss(model, batch)
    reference(batch.images)
    for (buffer, value), (_, expected) in zip(model.named_buffers(), reference.named_buffers(), strict=True):
        assert torch.equal(value, expected), buffer
