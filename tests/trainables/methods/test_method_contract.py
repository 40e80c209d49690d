"""What every registered method promises, with every model and preset."""

import copy
import math
from dataclasses import replace
from functools import cache

import pytest
import torch

from trainables.core.batch import Batch
from trainables.methods import METHODS, Penalty
from trainables.models import MODELS, Classifier
from trainables.models import initialise as models_initialise

PENALTIES = [name for name in sorted(METHODS) if METHODS[name].has_penalty]
# The large model under both presets only where they differ.
CASES = [
    (name, model, preset)
    for name in sorted(METHODS)
    for model in sorted(MODELS)
    for preset in ("fixed", "paper")
    if model == "small_cnn" or preset == "fixed" or METHODS[name].reads_preset
]
initial = cache(models_initialise.initialise)


def initialise(name: str, channels: int, classes: int, seed: int) -> Classifier:
    """A copy of a model that is made once: drawing ResNet-18's weights takes longer than a step on a few images."""
    return copy.deepcopy(initial(name, channels, classes, seed))


def settings(name: str, preset: str, strength: float = 0.1, model: str = "small_cnn") -> dict:
    weight = {"strength": strength} if METHODS[name].has_penalty else {}
    return {"preset": preset, **weight, **METHODS[name].contract_settings(model)}


@pytest.fixture
def small_batch(make_batch) -> Batch:
    batch = make_batch(n=4, side=12)
    return replace(batch, images=batch.images.float())


def total(method, loss):
    return loss.classification + method.weight * loss.penalty


@pytest.mark.parametrize(("name", "model_name", "preset"), CASES)
def test_finite_loss_and_a_gradient_for_every_parameter(new_method, small_batch, name, model_name, preset):
    model = initialise(model_name, 1, 2, seed=0).train()
    method = new_method(name, model.feature_size, **settings(name, preset, model=model_name))
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
    batch = replace(batch, images=batch.images.float())
    for policy in ("skip", "outside", "inside"):
        model = initialise("small_cnn", 1, 2, seed=0).train()
        method = new_method(name, model.feature_size, empty_mask=policy, **settings(name, preset))
        loss = method.loss(model, batch)
        assert math.isfinite(loss.penalty.item())
        if policy == "skip" and METHODS[name].reads_masks:
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


@pytest.mark.parametrize("name", sorted(METHODS))
def test_settings_in_units_of_pixel_value_are_listed(name):
    fields = METHODS[name].Options.model_fields.items()
    assert METHODS[name].in_pixel_values == tuple(k for k, f in fields if "units of pixel value" in f.description)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_second_order_says_whether_convolutions_are_differentiated_twice(new_method, small_batch, name):
    model = initialise("small_cnn", 1, 2, seed=0).train()
    method = new_method(name, model.feature_size, **settings(name, "fixed"))
    nodes, seen = [method.loss(model, small_batch).penalty.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        nodes += [function for function, _ in node.next_functions]
    twice = any(node.name() == "ConvolutionBackwardBackward0" for node in seen)
    assert twice == METHODS[name].second_order


@pytest.mark.parametrize("preset", ["fixed", "paper"])
@pytest.mark.parametrize("name", PENALTIES)
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
        batch = replace(batch, images=batch.images.float())
        model = initialise("small_cnn", 1, 2, seed=0).train()
        torch.manual_seed(seed)
        state = torch.random.get_rng_state()
        loss = new_method(name, model.feature_size, **settings(name, "fixed")).loss(model, batch)
        assert torch.equal(torch.random.get_rng_state(), state)
        losses.append((loss.classification.item(), loss.penalty.item()))
    assert losses[0] == losses[1]


@pytest.mark.parametrize("name", sorted(METHODS))
def test_random_draws_come_from_the_batchs_generator(new_method, small_batch, name):
    before = small_batch.rng.get_state()
    model = initialise("small_cnn", 1, 2, seed=0).train()
    new_method(name, model.feature_size, **settings(name, "fixed")).loss(model, small_batch)
    assert torch.equal(small_batch.rng.get_state(), before) == (not METHODS[name].draws)


@pytest.mark.parametrize("preset", ["fixed", "paper"])
@pytest.mark.parametrize("name", [name for name in sorted(METHODS) if not METHODS[name].draws])
def test_batch_order_does_not_matter_without_random_draws(new_method, make_batch, name, preset):
    batch = make_batch(n=5, side=8, classes=3, masked=4)
    order = torch.tensor([3, 0, 4, 2, 1])
    permuted = {name: getattr(batch, name)[order] for name in ("images", "labels", "masks", "cues")}
    other = replace(batch, **permuted)
    losses = []
    for b in (batch, other):
        model = initialise("small_cnn", 1, 3, seed=0).double().train()
        loss = new_method(name, model.feature_size, **settings(name, preset)).loss(model, b)
        losses.append((loss.classification.item(), loss.penalty.item()))
    assert losses[1] == pytest.approx(losses[0], rel=1e-9)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_methods_with_a_penalty_are_penalties_and_have_a_range_of_strengths(name):
    assert METHODS[name].has_penalty == issubclass(METHODS[name], Penalty)
    assert (METHODS[name].strengths is None) == (not METHODS[name].has_penalty)
    if METHODS[name].strengths is not None:
        low, high = METHODS[name].strengths
        assert 0 < low < high
