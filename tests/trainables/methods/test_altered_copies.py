"""The shuffle outside the mask, forward passes that leave running statistics alone, and methods on altered copies."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, rel_entr, softmax
from scipy.stats import chi2
from torch import nn
from torch.nn.functional import cross_entropy

from trainables.methods.altered_copies import PGDExOptions, worst_outside
from trainables.methods.parts.altered import evaluation_mode, frozen_running_statistics, shuffle_outside
from trainables.models.initialise import initialise


def test_outside_pixels_are_a_permutation_with_channels_together():
    rng = torch.Generator().manual_seed(3)
    images = torch.randn(20, 3, 7, 6, generator=rng)
    outside = torch.rand(20, 1, 7, 6, generator=rng) < 0.6
    result = shuffle_outside(images, outside, rng)
    inside = ~outside.expand_as(images)
    assert torch.equal(result[inside], images[inside])
    assert (result != images).any()
    for image, out, moved in zip(images, outside[:, 0], result, strict=True):
        before = sorted(image[:, out].T.tolist())
        after = sorted(moved[:, out].T.tolist())
        assert before == after, "a pixel's three channels form one item of the multiset"


def test_uniform_over_permutations():
    # Pixels 0, 2 and 4 are outside: 6 permutations, 5 degrees of freedom.
    draws = 12_000
    images = torch.arange(5.0).view(1, 1, 1, 5).expand(draws, 1, 1, 5).contiguous()
    outside = torch.tensor([True, False, True, False, True]).view(1, 1, 1, 5).expand(draws, 1, 1, 5).contiguous()
    result = shuffle_outside(images, outside, torch.Generator().manual_seed(11))[:, 0, 0]
    assert (result[:, [1, 3]] == torch.tensor([1.0, 3.0])).all()
    counts = [(result[:, [0, 2, 4]] == torch.tensor(p)).all(dim=1).sum().item() for p in permutations((0.0, 2.0, 4.0))]
    assert sum(counts) == draws
    statistic = sum((c - draws / 6) ** 2 / (draws / 6) for c in counts)
    assert statistic < chi2.ppf(0.999, df=5), counts


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    untracked = nn.BatchNorm2d(3, track_running_stats=False)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), untracked).train()


def statistics(model: nn.Module) -> list[torch.Tensor]:
    return [buffer.clone() for buffer in model.buffers()]


def test_frozen_pass_uses_batch_statistics_and_records_nothing(model):
    images = torch.randn(4, 1, 8, 8)
    before = statistics(model)
    with frozen_running_statistics(model):
        frozen = model(images)
    assert all(torch.equal(a, b) for a, b in zip(before, statistics(model), strict=True))
    assert torch.equal(model(images), frozen), "same output as an ordinary train-mode pass"
    assert not torch.equal(before[0], statistics(model)[0]), "the ordinary pass does record"


@pytest.mark.parametrize("training", [True, False])
def test_both_blocks_restore_the_model_after_an_error(model, training):
    def fail() -> None:
        with frozen_running_statistics(model), evaluation_mode(model):
            assert not model[1].track_running_stats
            assert not model[1].training
            raise RuntimeError("on purpose")

    model.train(training)
    with pytest.raises(RuntimeError, match="on purpose"):
        fail()
    assert model.training == model[1].training == training
    assert model[1].track_running_stats
    assert not model[2].track_running_stats, "a layer that never tracked is not switched on"


EXTRA_PASSES = (
    *("actdiff", "adversarial", "corm", "counterexamples", "counterfactual_fill", "expected_gradients", "gain"),
    *("logit_invariance", "pgd_ex", "saliency_guided"),
)


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


@pytest.mark.parametrize(
    ("name", "preset"), [*((name, "fixed") for name in EXTRA_PASSES), ("actdiff", "paper"), ("adversarial", "paper")]
)
def test_only_the_paper_records_statistics_of_altered_images(make_batch, new_method, name, preset):
    batch = make_batch(n=8, side=8)
    batch = replace(batch, images=batch.images.float())
    model, reference = (initialise("small_cnn", 1, 2, seed=0).train() for _ in range(2))
    new_method(name, 64, strength=1, preset=preset).loss(model, batch)
    if preset == "paper":
        reference(shuffle_outside(batch.images, ~batch.masks, torch.Generator().manual_seed(0)))
    reference(batch.images)
    for (buffer, value), (_, expected) in zip(model.named_buffers(), reference.named_buffers(), strict=True):
        assert torch.equal(value, expected), buffer
    assert model.trunk[1].track_running_stats


def test_pgd_finds_the_worst_change_of_a_linear_model(linear_net, make_batch, new_method):
    model, batch = linear_net(), make_batch()
    weight = model.head.weight.detach()
    # CE rises fastest along the sign of w_other − w_y.
    direction = (weight[1 - batch.labels] - weight[batch.labels]).sign().view(4, 1, 5, 5)
    expected = entropies(model, batch.images + 0.4 * direction * ~batch.masks, batch.labels).mean()
    loss = new_method("pgd_ex", strength=1, pgd_epsilon=0.4, pgd_steps=3).loss(model, batch)
    np.testing.assert_allclose(loss.penalty.item(), expected, rtol=1e-9)


def test_pgd_stays_in_range_and_raises_the_loss(smooth_net, make_batch):
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


def distance(plain: np.ndarray, altered: np.ndarray, which: str) -> np.ndarray:
    if which == "l2":
        return ((plain - altered) ** 2).sum(axis=1)
    return rel_entr(softmax(plain, axis=1), softmax(altered, axis=1)).sum(axis=1)


@pytest.mark.parametrize("which", ["kl", "l2"])
@pytest.mark.parametrize("policy", ["skip", "outside", "inside"])
def test_logit_invariance_against_scipys_relative_entropy(linear_net, make_batch, new_method, which, policy):
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
