"""Saliency-guided training: a linear model's gradient is its weight, so what is replaced is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from torch import nn

from trainables.methods.saliency_guided import least_salient
from trainables.models.initialise import initialise


@pytest.mark.parametrize("preset", ["fixed", "paper"])
def test_linear_model(linear_net, make_batch, new_method, preset):
    model, batch = linear_net(classes=3), make_batch(n=3, classes=3)
    loss = new_method("saliency_guided", strength=1, preset=preset, saliency_guided_share=0.4).loss(model, batch)
    plain, altered = model.calls[0], model.calls[-1]
    weight = model.head.weight.detach().numpy()
    changed = (plain != altered).flatten(1).numpy()
    for i in range(3):
        smallest = np.argsort(np.abs(weight[i]) if preset == "fixed" else weight[i])[:10]
        assert set(np.flatnonzero(changed[i])) == set(smallest)
        assert ((plain[i].min() <= altered[i]) & (altered[i] <= plain[i].max())).all()
    p, q = (softmax(x.flatten(1).numpy() @ weight.T, axis=1) for x in (plain, altered))
    np.testing.assert_allclose(loss.penalty.item(), rel_entr(p, q).sum(axis=1).mean(), rtol=1e-9)


def test_channels_count_together_and_the_share_is_rounded_down():
    salience = torch.tensor([[[[3.0, 1.0], [0.0, 2.0]], [[0.0, 1.0], [4.0, 0.5]]]])
    assert least_salient(salience, 0.7)[0, 0].tolist() == [[False, True], [False, True]]


@pytest.mark.parametrize(
    ("preset", "modes", "recorded"), [("fixed", [True, True], 1), ("paper", [True, False, True], 2)]
)
def test_the_mode_of_each_pass_and_which_enter_the_running_statistics(make_batch, new_method, preset, modes, recorded):
    model, batch = initialise("small_cnn", 1, 2, seed=0).train(), make_batch(n=4, side=8)
    seen = []
    model.register_forward_hook(lambda module, *_: seen.append(module.training))
    method = new_method("saliency_guided", model.feature_size, strength=1, preset=preset)
    method.loss(model, replace(batch, images=batch.images.float()))
    assert seen == modes
    assert model.training
    layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {layer.num_batches_tracked.item() for layer in layers} == {recorded}
