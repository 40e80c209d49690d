"""MaskTune: hidden pixels by hand, and when they are hidden."""

import copy

import numpy as np
import pytest
import torch

from trainables.core.errors import ConfigurationError
from trainables.methods.masktune import hot_pixels
from trainables.trial.trial import Trial


def by_hand(maps, weight, logits, deviations):
    """The class activation map of the predicted class, which ours is up to a factor, above its threshold."""
    hot = []
    for features, row in zip(maps, logits, strict=True):
        heat = np.maximum(np.einsum("k,khw->hw", weight[row.argmax()], features), 0)
        hot.append(heat > heat.mean() + deviations * heat.std())
    return np.array(hot)


@pytest.mark.parametrize("deviations", [-0.5, 0.5, 2.0])
def test_hot_pixels_by_hand(smooth_net, make_batch, deviations):
    model, batch = smooth_net(classes=3).eval(), make_batch(n=5, side=6, classes=3)
    with torch.no_grad():
        maps, logits = model.trunk(batch.images).numpy(), model(batch.images).logits.numpy()
    expected = by_hand(maps, model.head.weight.detach().numpy(), logits, deviations)
    assert expected.any()
    np.testing.assert_array_equal(hot_pixels(model, batch.images, deviations)[:, 0].numpy(), expected)


def test_pixels_are_hidden_in_the_last_epoch_only(quick):
    tuned, plain = Trial(quick(method="masktune", epochs=3)), Trial(quick(epochs=3))
    for _ in range(2):
        assert tuned.train_epoch() == plain.train_epoch()
    first, inputs = copy.deepcopy(tuned.model).eval(), []
    handle = tuned.model.register_forward_pre_hook(lambda model, args: inputs.append((model.training, args[0])))
    tuned.train_epoch()
    handle.remove()
    batches = [images for training, images in inputs if training]
    order = torch.randperm(64, generator=plain.order_rng).split(16)
    assert len(batches) == len(order) == 4
    hidden = 0
    for images, index in zip(batches, order, strict=True):
        original = plain.splits["train"].images[index]
        hot = hot_pixels(first, original, 2.0)
        assert torch.equal(images, original.masked_fill(hot, 0.0))
        hidden += int((images != original).sum())
    assert hidden > 0
    assert not any(torch.equal(tuned.model.state_dict()[k], v) for k, v in first.state_dict().items() if "weight" in k)


@pytest.mark.parametrize("selection", ["last", "best_valid_id", "best_valid_ood"])
def test_the_last_epoch_is_scored_whatever_the_selection(quick, selection):
    trial = Trial(quick(method="masktune", epochs=3, selection=selection))
    for _ in range(3):
        assert trial.selected().epoch == -1
        trial.train_epoch()
    assert trial.selected().epoch == 2


def test_a_single_epoch_is_refused(quick):
    with pytest.raises(ConfigurationError, match=r"epochs 1 for method 'masktune'.*set 2 or more"):
        quick(method="masktune", epochs=1)
