"""Adversarial against numpy cross-entropies, finite differences and hand-counted steps."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch

from trainables.methods.parts.altered import shuffle_outside
from trainables.trial.trial import Trial

# Too small to move a double-precision weight: the discriminator then stays as it is.
STANDSTILL = 1e-300


@pytest.fixture
def still(new_method):
    """An adversarial method in double precision whose discriminator neither learns nor iterates its spectral norm."""

    def build(feature_size: int = 25, **settings: object):
        method = new_method("adversarial", feature_size, disc_lr=STANDSTILL, disc_width=16, **settings)
        method.discriminator.double()
        for _ in range(20):  # after these the spectral norm, which may start anywhere, is near 1
            method.discriminator(torch.zeros(1, feature_size, dtype=torch.float64))
        method.discriminator.eval()
        return method

    return build


def bce(scores: np.ndarray, target: float) -> np.ndarray:
    p = 1 / (1 + np.exp(-scores))
    return -(target * np.log(p) + (1 - target) * np.log(1 - p))


def test_spectral_norm_of_the_paper_takes_one_power_iteration_a_pass(new_method):
    layer = new_method("adversarial", 6, strength=1, preset="paper", disc_width=16).discriminator[0].double()
    names = ("weight_orig", "bias", "weight_u")
    weight, bias, u = (layer.state_dict()[name].numpy().copy() for name in names)
    for x in np.random.default_rng(0).normal(size=(3, 2, 6)):
        v = weight.T @ u / np.linalg.norm(weight.T @ u)
        u = weight @ v / np.linalg.norm(weight @ v)
        expected = x @ weight.T / (u @ weight @ v) + bias
        np.testing.assert_allclose(layer(torch.from_numpy(x)).detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(("preset", "revision", "warmed_up"), [("paper", 2, False), ("fixed", 1, True)])
def test_spectral_norm_is_near_one_at_the_first_pass_under_fixed_alone(new_method, preset, revision, warmed_up):
    method = new_method("adversarial", 6, strength=1, preset=preset, disc_width=64)
    method.discriminator(torch.zeros(1, 6))
    largest = np.linalg.svd(method.discriminator.eval()[2].weight.detach().numpy(), compute_uv=False)[0]
    assert (abs(largest - 1) < 0.05) == warmed_up
    assert method.config.method_revision == revision


@pytest.mark.parametrize("preset", ["paper", "fixed"])
def test_penalty_has_flipped_labels(linear_net, make_batch, still, preset):
    model, batch = linear_net(), make_batch()
    method = still(strength=0.7, preset=preset, disc_iter=1)
    loss = method.loss(model, batch)
    shuffled, plain = model.calls
    assert torch.equal(plain, batch.images)
    assert torch.equal(shuffled, shuffle_outside(batch.images, ~batch.masks, torch.Generator().manual_seed(0)))
    with torch.no_grad():
        scores, shuffled_scores = (method.discriminator(x.flatten(1)).numpy() for x in (plain, shuffled))
    expected = bce(scores, 0).mean() + bce(shuffled_scores, 1).mean()
    np.testing.assert_allclose(loss.penalty.item(), expected, rtol=1e-12)


def test_discriminator_learns_on_true_labels_weighted_by_the_strength(linear_net, make_batch, still):
    model, batch = linear_net(), make_batch()
    method = still(strength=0.7, disc_iter=1)
    loss = method.loss(model, batch)
    shuffled, plain = (x.flatten(1) for x in model.calls)
    twin = copy.deepcopy(method.discriminator)
    twin.zero_grad()
    p, p_shuffled = twin(plain).sigmoid(), twin(shuffled).sigmoid()
    (-0.7 * (p.log().mean() + (1 - p_shuffled).log().mean())).backward()
    before = [parameter.grad.clone() for parameter in method.discriminator.parameters()]
    for gradient, expected in zip(before, twin.parameters(), strict=True):
        torch.testing.assert_close(gradient, expected.grad, rtol=1e-9, atol=1e-15)
    assert any(gradient.any() for gradient in before)
    # The model's loss flows through the discriminator without reaching its weights.
    (loss.classification + 0.7 * loss.penalty).backward()
    for parameter, gradient in zip(method.discriminator.parameters(), before, strict=True):
        assert torch.equal(parameter.grad, gradient)
        assert parameter.requires_grad


def test_a_paper_trial_updates_the_model_on_those_batches_only(quick):
    # 4 batches of 16, and 2 of validation and 3 of test images; without a shift some epochs improve and some do not.
    settings = {"preset": "paper", "disc_iter": 4, "disc_width": 16}
    trial = Trial(quick(method="adversarial", strength=1, severity=0, epochs=6, n_test=48, **settings))
    weights = []
    original = trial.method.loss

    def watched(model, batch):
        weights.append(model.head.weight.detach().clone())
        return original(model, batch)

    trial.method.loss = watched
    losses = []
    while not trial.finished:
        losses.append(trial.train_epoch()["valid_ood.loss"])
    weights.append(trial.model.head.weight.detach())
    moved = [not torch.equal(before, after) for before, after in pairwise(weights)]

    # The loop of the authors' program: a counter that any batch advances and that starts again at disc_iter.
    counter, expected, improved = 0, [], []
    for epoch, loss in enumerate(losses):
        improved.append(all(loss < earlier for earlier in losses[:epoch]))
        for split in ["train"] * 4 + ["valid"] * 2 + ["test"] * 3 * improved[-1]:
            counter = (counter + 1) % 4
            expected += [counter == 0] * (split == "train")
    assert set(improved[1:]) == {True, False}
    assert moved == expected
    assert trial.model_steps == sum(expected)


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter:UserWarning")
def test_a_resumed_optimiser_has_its_state_on_the_device(quick):
    """The device without data stands for any other."""
    config = quick(method="adversarial", strength=1, disc_width=16)
    first = Trial(config)
    first.train_epoch()
    second = Trial(config, device="meta")
    second.load_state_dict(first.state_dict())
    for parameter in second.method.discriminator.parameters():
        assert parameter.device.type == "meta"
        assert second.method.optimizer.state[parameter]["exp_avg"].device.type == "meta"


def test_discriminator_depends_on_the_seed_alone(new_method):
    state = torch.random.get_rng_state()
    first, second, other = (new_method("adversarial", 8, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator is left as it was"
    weights = [m.discriminator[-1].weight for m in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
