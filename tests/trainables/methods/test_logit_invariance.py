"""Logit invariance against scipy's relative entropy."""

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax

from trainables.methods.parts.altered import shuffle_outside


def distance(plain: np.ndarray, altered: np.ndarray, which: str) -> np.ndarray:
    if which == "l2":
        return ((plain - altered) ** 2).sum(axis=1)
    return rel_entr(softmax(plain, axis=1), softmax(altered, axis=1)).sum(axis=1)


@pytest.mark.parametrize("which", ["kl", "l2"])
@pytest.mark.parametrize("policy", ["skip", "outside", "inside"])
def test_linear_model(linear_net, make_batch, new_method, which, policy):
    model, batch = linear_net(classes=3), make_batch(n=3, classes=3, masked=2)
    method = new_method("logit_invariance", strength=1, invariance_distance=which, empty_mask=policy)
    loss = method.loss(model, batch)
    outside = ~batch.masks.clone()
    outside[2] = policy == "outside"
    altered = shuffle_outside(batch.images, outside, torch.Generator().manual_seed(0))
    weight = model.head.weight.detach().numpy()
    plain, other = (images.flatten(1).numpy() @ weight.T for images in (batch.images, altered))
    distances = distance(plain, other, which)
    np.testing.assert_allclose(loss.penalty.item(), distances[: 2 if policy == "skip" else 3].mean(), rtol=1e-9)
