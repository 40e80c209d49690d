"""PGD-Ex: for a linear model the worst change is known, for another it must not help the model."""

import numpy as np
import torch
from scipy.special import logsumexp
from torch.nn.functional import cross_entropy

from trainables.methods.altered_copies import PGDExOptions, worst_outside


def test_linear_model_of_two_classes(linear_net, make_batch, new_method):
    model, batch = linear_net(), make_batch()
    weight = model.head.weight.detach().numpy()
    labels = batch.labels.numpy()
    # CE rises fastest along the sign of w_other − w_y.
    direction = np.sign(weight[1 - labels] - weight[labels]).reshape(4, 1, 5, 5)
    worst = batch.images.numpy() + 0.4 * direction * ~batch.masks.numpy()
    logits = worst.reshape(4, -1) @ weight.T
    expected = np.mean(logsumexp(logits, axis=1) - logits[np.arange(4), labels])
    loss = new_method("pgd_ex", strength=1, pgd_epsilon=0.4, pgd_steps=3).loss(model, batch)
    np.testing.assert_allclose(loss.penalty.item(), expected, rtol=1e-9)


def test_the_search_stays_in_range_and_raises_the_loss(smooth_net, make_batch):
    model, batch = smooth_net(), make_batch()
    options = PGDExOptions(pgd_epsilon=0.5, pgd_steps=4)
    worst = worst_outside(model, batch.images.clone(), batch.labels, ~batch.masks, options)
    change = worst - batch.images
    assert not change[batch.masks].any()
    assert change.abs().max() <= 0.5 + 1e-12
    assert change[~batch.masks].any()
    plain, worst_loss = (cross_entropy(model(x).logits, batch.labels) for x in (batch.images, worst))
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        noise = (torch.rand(change.shape, generator=rng, dtype=torch.float64) * 2 - 1).sign() * 0.5 * ~batch.masks
        assert cross_entropy(model(batch.images + noise).logits, batch.labels) < worst_loss
    assert plain < worst_loss
    assert not worst.requires_grad
