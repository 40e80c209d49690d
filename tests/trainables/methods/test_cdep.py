"""CDEP: the decomposition by hand in numpy, its ends, and the penalty."""

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from torch import nn

from trainables.methods.cdep import SMALL, decomposed_logits
from trainables.models import MODELS, Classifier
from trainables.models.initialise import initialise


class TinyNet(Classifier):
    """Two convolutions with biases, one of them normalised, in double precision."""

    feature_size = 3

    def build_trunk(self, channels):
        return nn.Sequential(
            nn.Conv2d(channels, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 3, 3), nn.ReLU()
        )


@pytest.fixture
def tiny():
    model = TinyNet(1, 2).double().eval()
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=tuple(parameter.shape))))
        norm = model.trunk[1]
        norm.running_mean.copy_(torch.tensor([0.3, -0.2]))
        norm.running_var.copy_(torch.tensor([1.5, 0.7]))
    return model


def with_bias(beta, gamma, bias):
    share = np.abs(beta) / (np.abs(beta) + np.abs(gamma) + SMALL)
    return beta + share * bias, gamma + (1 - share) * bias


def convolve(image, kernel, mode):
    return sum(correlate2d(channel, weights, mode=mode) for channel, weights in zip(image, kernel, strict=True))


def by_hand(model, image, outside):
    """beta and gamma of one image's logits, layer by layer."""
    w = {name: value.numpy() for name, value in model.state_dict().items()}
    parts = image * outside, image * ~outside
    for layer, mode in (("trunk.0", "same"), ("trunk.3", "valid")):
        parts = [np.stack([convolve(part, kernel, mode) for kernel in w[f"{layer}.weight"]]) for part in parts]
        parts = with_bias(*parts, w[f"{layer}.bias"][:, None, None])
        if layer == "trunk.0":
            scale = w["trunk.1.weight"] / np.sqrt(w["trunk.1.running_var"] + 1e-5)
            shift = w["trunk.1.bias"] - w["trunk.1.running_mean"] * scale
            parts = with_bias(*(scale[:, None, None] * part for part in parts), shift[:, None, None])
        beta = np.maximum(parts[0], 0)
        parts = beta, np.maximum(parts[0] + parts[1], 0) - beta
    means = (w["head.weight"] @ part.mean(axis=(1, 2)) for part in parts)
    return with_bias(*means, w["head.bias"])


def test_decomposition_and_penalty_by_hand(tiny, make_batch, new_method):
    batch = make_batch(n=4, side=6, masked=3)
    with torch.no_grad():
        parts = decomposed_logits(tiny, batch.images, ~batch.masks)
    expected = [by_hand(tiny, batch.images[i].numpy(), ~batch.masks[i].numpy()) for i in range(4)]
    for i, (beta, gamma) in enumerate(expected):
        np.testing.assert_allclose(parts.beta[i].numpy(), beta, rtol=1e-9)
        np.testing.assert_allclose(parts.gamma[i].numpy(), gamma, rtol=1e-9)
    # softmax([beta, gamma])_0 of the three images with a mask.
    shares = [np.exp(beta) / (np.exp(beta) + np.exp(gamma)) for beta, gamma in expected]
    loss = new_method("cdep", strength=1).loss(tiny, batch)
    np.testing.assert_allclose(loss.penalty.item(), np.mean(shares[:3]), rtol=1e-9)
    everything = new_method("cdep", strength=1, empty_mask="outside").loss(tiny, batch).penalty.item()
    np.testing.assert_allclose(everything, np.mean(shares), rtol=1e-9)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_beta_is_zero_without_outside_and_everything_without_inside(name, make_batch):
    model, batch = initialise(name, 1, 2, seed=0).double().eval(), make_batch(side=8)
    with torch.no_grad():
        logits = model(batch.images).logits
        none, every = (
            decomposed_logits(model, batch.images, torch.full_like(batch.masks, outside)) for outside in (False, True)
        )
    assert not none.beta.any()
    torch.testing.assert_close(none.gamma, logits)
    torch.testing.assert_close(every.beta, logits, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(every.total, logits)
