"""What every registered method promises, with every model and preset."""

import math

import pytest
import torch

from trainables.batch import Batch
from trainables.methods import METHODS
from trainables.models import MODELS
from trainables.models.initialise import initialise

SETTINGS = {"adversarial": {"disc_iter": 1, "disc_width": 16}}


def settings(name: str, preset: str, strength: float = 0.1) -> dict:
    weight = {"strength": strength} if METHODS[name].has_penalty else {}
    return {"preset": preset, **weight, **SETTINGS.get(name, {})}


@pytest.fixture
def small_batch(make_batch) -> Batch:
    batch = make_batch(n=6, side=12)
    return Batch(batch.images.float(), batch.labels, batch.masks, batch.rng)


def total(method, loss):
    return loss.classification + method.weight * loss.penalty


@pytest.mark.parametrize("preset", ["fixed", "paper"])
@pytest.mark.parametrize("model_name", sorted(MODELS))
@pytest.mark.parametrize("name", sorted(METHODS))
def test_finite_loss_and_a_gradient_for_every_parameter(new_method, small_batch, name, model_name, preset):
    model = initialise(model_name, 1, 2, seed=0).train()
    method = new_method(name, model.feature_size, **settings(name, preset))
    images = small_batch.images.clone()
    loss = method.loss(model, small_batch)
    assert math.isfinite(loss.classification.item())
    assert math.isfinite(loss.penalty.item())
    assert (loss.penalty.item() > 0) == METHODS[name].has_penalty
    total(method, loss).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.any(), parameter_name
    assert torch.equal(small_batch.images, images), "the batch is left as it was"
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
    assert model.training


@pytest.mark.parametrize("preset", ["fixed", "paper"])
@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_image_without_a_mask_gives_a_finite_loss(new_method, make_batch, name, preset):
    batch = make_batch(n=4, side=12, masked=0)
    batch = Batch(batch.images.float(), batch.labels, batch.masks, batch.rng)
    for policy in ("skip", "outside", "inside"):
        model = initialise("small_cnn", 1, 2, seed=0).train()
        method = new_method(name, model.feature_size, empty_mask=policy, **settings(name, preset))
        loss = method.loss(model, batch)
        assert math.isfinite(loss.penalty.item())
        if policy == "skip":
            assert loss.penalty.item() == 0
        total(method, loss).backward()
        assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_penaltys_gradient_reaches_the_trunk(new_method, small_batch, name):
    model = initialise("small_cnn", 1, 2, seed=0).train()
    method = new_method(name, model.feature_size, **settings(name, "fixed"))
    penalty = method.loss(model, small_batch).penalty
    if not METHODS[name].has_penalty:
        assert penalty.item() == 0
        return
    kernels = [parameter for parameter in model.trunk.parameters() if parameter.dim() > 1]
    assert len(kernels) == 3
    assert all(slope.any() for slope in torch.autograd.grad(penalty, kernels))


@pytest.mark.parametrize("preset", ["fixed", "paper"])
@pytest.mark.parametrize("name", [name for name in sorted(METHODS) if METHODS[name].has_penalty])
def test_strength_zero_computes_nothing_of_the_penalty(new_method, small_batch, name, preset):
    model = initialise("small_cnn", 1, 2, seed=0).train()
    passes = []
    model.register_forward_hook(lambda *_: passes.append(1))
    before = small_batch.rng.get_state()
    loss = new_method(name, model.feature_size, **settings(name, preset, strength=0)).loss(model, small_batch)
    assert loss.penalty.item() == 0
    assert loss.updates_model
    assert len(passes) == 1
    assert torch.equal(small_batch.rng.get_state(), before)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_global_generator_is_neither_read_nor_moved(new_method, make_batch, name):
    losses = []
    for seed in (1, 2):
        batch = make_batch(n=6, side=12)
        batch = Batch(batch.images.float(), batch.labels, batch.masks, batch.rng)
        model = initialise("small_cnn", 1, 2, seed=0).train()
        torch.manual_seed(seed)
        state = torch.random.get_rng_state()
        loss = new_method(name, model.feature_size, **settings(name, "fixed")).loss(model, batch)
        assert torch.equal(torch.random.get_rng_state(), state)
        losses.append((loss.classification.item(), loss.penalty.item()))
    assert losses[0] == losses[1]
