"""Saliency-guided training: a linear model's gradient is its weight, so what is replaced is known."""

import numpy as np
import torch
from scipy.special import rel_entr, softmax

from trainables.methods.saliency_guided import least_salient


def test_linear_model(linear_net, make_batch, new_method):
    model, batch = linear_net(classes=3), make_batch(n=3, classes=3)
    loss = new_method("saliency_guided", strength=1, saliency_guided_share=0.4).loss(model, batch)
    plain, altered = model.calls
    weight = model.head.weight.detach().numpy()
    changed = (plain != altered).flatten(1).numpy()
    for i in range(3):
        smallest = np.argsort(np.abs(weight[i]))[:10]
        assert set(np.flatnonzero(changed[i])) == set(smallest)
        assert ((plain[i].min() <= altered[i]) & (altered[i] <= plain[i].max())).all()
    p, q = (softmax(x.flatten(1).numpy() @ weight.T, axis=1) for x in (plain, altered))
    np.testing.assert_allclose(loss.penalty.item(), rel_entr(p, q).sum(axis=1).mean(), rtol=1e-9)


def test_channels_count_together_and_the_share_is_rounded_down():
    gradient = torch.tensor([[[[3.0, -1.0], [0.0, 2.0]], [[0.0, -1.0], [4.0, 0.5]]]])
    assert least_salient(gradient, 0.7)[0, 0].tolist() == [[False, True], [False, True]]
