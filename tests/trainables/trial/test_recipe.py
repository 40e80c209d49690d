"""Recipes: rates against closed forms, steps against the update formulas, and frozen weights that stay bit for bit."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from trainables import METHODS, resolve
from trainables.core.errors import ConfigurationError
from trainables.models.initialise import initialise
from trainables.trial.recipe import blocks
from trainables.trial.train import train_epoch
from trainables.trial.trial import Trial

SMALLEST = {"n_train": 24, "n_valid": 8, "n_test": 8, "batch_size": 8, "attribution_images": 2}
BATCHES = 3
"""Of an epoch of `SMALLEST`."""
SGD = {"optimizer": "sgd", "momentum": 0.0}


@pytest.fixture
def new_trial(quick):
    return lambda **settings: Trial(quick(**SMALLEST | {"lr": 1e-2, "attributions": ("input_gradient",)} | settings))


def rates(trial: Trial, group: int = 0) -> list[float]:
    """The learning rate of every batch."""
    used = []
    original = trial.method.loss
    trial.method.loss = lambda *batch: used.append(trial.optimizer.param_groups[group]["lr"]) or original(*batch)
    while not trial.finished:
        trial.train_epoch()
    return used


def rate(t: int, epochs: int, warmup: float, schedule: str, step_epochs: int) -> float:
    """The factor of the rate in batch t, in closed form."""
    start = round(warmup * BATCHES)
    if t < start:
        return (t + 1) / (start + 1)
    if schedule == "cosine":
        return (1 + math.cos(math.pi * (t - start) / (epochs * BATCHES - start))) / 2
    return 0.1 ** ((t - start) // (step_epochs * BATCHES)) if schedule == "step" else 1.0


@pytest.mark.parametrize("warmup", [0, 0.4, 2])
@pytest.mark.parametrize(
    ("schedule", "step"), [("constant", {}), ("cosine", {}), ("step", {"step_epochs": 1}), ("step", {"step_epochs": 2})]
)
def test_rates_follow_the_closed_form(new_trial, schedule, step, warmup):
    epochs, steps = 5, step.get("step_epochs", 30)
    expected = [rate(t, epochs, warmup, schedule, steps) for t in range(epochs * BATCHES)]
    trial = new_trial(epochs=epochs, schedule=schedule, warmup=warmup, **step)
    np.testing.assert_allclose(rates(trial), 1e-2 * np.array(expected), rtol=1e-9)
    trial = new_trial(epochs=epochs, schedule=schedule, warmup=warmup, head_lr=0.5, **step)
    np.testing.assert_allclose(rates(trial, group=1), 0.5 * np.array(expected), rtol=1e-9)


def test_the_schedule_counts_batches_that_leave_the_model_as_it_is(new_trial):
    """The discriminator's batches under preset paper, the first batch among them: the cosine still ends at 0."""
    few = {"method": "adversarial", "strength": 1.0, "preset": "paper", "disc_iter": 2, "disc_width": 8}
    trial = new_trial(epochs=4, schedule="cosine", **few)
    expected = [0.01 * rate(t, 4, 0, "cosine", 30) for t in range(4 * BATCHES)]
    np.testing.assert_allclose(rates(trial), expected, rtol=1e-9)
    assert trial.model_steps < 4 * BATCHES
    assert trial.optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


def test_a_constant_rate_has_no_schedule(new_trial):
    assert new_trial().schedule is None


def gradients(trial: Trial) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Weights before the first step, and the gradients of the first batch, computed by hand on another trial."""
    twin = Trial(trial.config)
    batch = next(twin.batches())
    twin.model.train()
    twin.method.loss(twin.model, batch).classification.backward()
    return [p.detach().clone() for p in twin.model.parameters()], [p.grad for p in twin.model.parameters()]


def step_once(trial: Trial) -> list[torch.Tensor]:
    """The weights after one step on the first batch."""
    batch = next(trial.batches())
    clip = trial.config.clip_norm
    train_epoch(trial.model, trial.method, trial.optimizer, [batch], "float32", 0, trial.schedule, clip)
    return [p.detach() for p in trial.model.parameters()]


def adam_step(gradient: torch.Tensor) -> torch.Tensor:
    """The first step of Adam in units of the rate: moments corrected for their start at zero."""
    return gradient / (gradient.abs() + 1e-8)


@pytest.mark.parametrize(
    ("settings", "formula"),
    [
        ({"optimizer": "adam", "weight_decay": 0.1}, lambda w, g: w - 1e-2 * adam_step(g + 0.1 * w)),
        ({"optimizer": "adamw", "weight_decay": 0.1}, lambda w, g: w * (1 - 1e-2 * 0.1) - 1e-2 * adam_step(g)),
        ({**SGD, "weight_decay": 0.1}, lambda w, g: w - 1e-2 * (g + 0.1 * w)),
        ({"optimizer": "sgd"}, lambda w, g: w - 1e-2 * g),
        # Nesterov's first step: g + momentum · g.
        ({"optimizer": "sgd", "nesterov": True}, lambda w, g: w - 1e-2 * (g + 0.9 * g)),
    ],
)
def test_a_step_is_the_update_formula(new_trial, settings, formula):
    trial = new_trial(**settings)
    weights, slopes = gradients(trial)
    for new, weight, slope in zip(step_once(trial), weights, slopes, strict=True):
        torch.testing.assert_close(new, formula(weight, slope), rtol=1e-5, atol=1e-6)


def test_momentum_adds_earlier_gradients(new_trial):
    trial = new_trial(optimizer="sgd", momentum=0.5, epochs=1)
    batches = list(trial.batches())[:2]
    twin = Trial(trial.config)
    buffer = [torch.zeros_like(p) for p in twin.model.parameters()]
    for batch in batches:
        twin.model.train().zero_grad()
        twin.method.loss(twin.model, batch).classification.backward()
        with torch.no_grad():
            for weight, moment in zip(twin.model.parameters(), buffer, strict=True):
                weight -= 1e-2 * moment.mul_(0.5).add_(weight.grad)
    train_epoch(trial.model, trial.method, trial.optimizer, batches, "float32", 0)
    for weight, expected in zip(trial.model.parameters(), twin.model.parameters(), strict=True):
        torch.testing.assert_close(weight, expected)


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_the_gradient_is_clipped_to_its_norm(new_trial, share):
    _, slopes = gradients(new_trial(**SGD))
    norm = math.sqrt(sum(slope.double().square().sum().item() for slope in slopes))
    trial = new_trial(**SGD, clip_norm=share * norm)
    weights, _ = gradients(trial)
    for new, weight, slope in zip(step_once(trial), weights, slopes, strict=True):
        torch.testing.assert_close(new, weight - 1e-2 * min(share, 1) * slope, rtol=1e-4, atol=1e-7)


def test_the_head_has_its_own_rate(new_trial):
    trial = new_trial(**SGD, head_lr=0.25)
    weights, slopes = gradients(trial)
    for new, weight, slope, (name, _) in zip(
        step_once(trial), weights, slopes, trial.model.named_parameters(), strict=True
    ):
        torch.testing.assert_close(new, weight - (0.25 if name.startswith("head") else 1e-2) * slope)


@pytest.mark.parametrize(
    ("model", "freeze", "trained"),
    [
        ("small_cnn", "trunk", ("head.",)),
        ("small_cnn", "all_but_1", ("head.", "trunk.6.", "trunk.7.")),
        ("small_cnn", "all_but_2", ("head.", "trunk.3.", "trunk.4.", "trunk.6.", "trunk.7.")),
        ("resnet18", "all_but_2", ("head.", "trunk.9.", "trunk.10.")),
    ],
)
def test_frozen_weights_and_statistics_stay_bit_for_bit(new_trial, model, freeze, trained):
    trial = new_trial(model=model, freeze=freeze, optimizer="sgd", weight_decay=0.1, epochs=2)
    before = {name: value.clone() for name, value in trial.model.state_dict().items()}
    while not trial.finished:
        trial.train_epoch()
    changed = {name for name, value in trial.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.startswith(trained)}


@pytest.mark.parametrize("freeze", ["trunk", "all_but_1"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_trains_with_frozen_layers(new_trial, method, freeze):
    strength = {"strength": 0.3} if METHODS[method].has_penalty else {}
    options = METHODS[method].contract_settings("small_cnn")
    trial = new_trial(method=method, freeze=freeze, epochs=2, **strength, **options)
    before = {name: value.clone() for name, value in trial.model.state_dict().items()}
    while not trial.finished:
        trial.train_epoch()
    changed = {name for name, value in trial.model.state_dict().items() if not torch.equal(value, before[name])}
    last = {name for name in before if name.startswith(("trunk.6.", "trunk.7."))} if freeze == "all_but_1" else set()
    assert changed == {"head.weight", "head.bias"} | last


def test_input_gradients_pass_through_frozen_layers(new_trial):
    whole, frozen = new_trial().model.eval(), new_trial(freeze="trunk").model.eval()
    slopes = []
    for model in (whole, frozen):
        images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0)).requires_grad_()
        slopes.append(torch.autograd.grad(model(images).logits.sum(), images)[0])
    assert torch.equal(*slopes)


class Bottle(nn.Sequential):
    """A block that is a list of its own layers, as in torchvision."""


def test_blocks_of_a_nested_network():
    """Lists in lists are opened, blocks are not, and normalisation belongs to the block before it."""
    model = initialise("small_cnn", 1, 2, seed=0)
    stem, norm, late = nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.LayerNorm(4)
    one, two, three = (Bottle(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)) for _ in range(3))
    inner = nn.Module()
    inner.stem, inner.norm, inner.pool = stem, norm, nn.MaxPool2d(2)
    inner.stages = nn.Sequential(nn.Sequential(one), nn.ModuleList([two, nn.ReLU(), three]))
    inner.late, inner.head = late, model.head
    model.trunk = nn.Sequential(inner)
    assert blocks(model) == [[stem, norm], [one], [two], [three, late]]
    assert [len(blocks(initialise(name, 1, 2, seed=0))) for name in ("small_cnn", "resnet18")] == [3, 9]


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "schedule": "cosine", "warmup": 1, "freeze": "all_but_1"},
        {
            "optimizer": "adamw",
            "weight_decay": 0.1,
            "schedule": "step",
            "step_epochs": 1,
            "warmup": 2,
            "clip_norm": 1.0,
        },
        {"schedule": "cosine", "warmup": 2.5, "head_lr": 0.1},
    ],
)
@pytest.mark.parametrize("saved", [1, 2, 3])
def test_a_resumed_trial_is_the_same_bit_for_bit(new_trial, tmp_path, settings, saved):
    first = new_trial(epochs=4, **settings)
    for epoch in range(4):
        if epoch == saved:
            torch.save(first.state_dict(), tmp_path / "checkpoint")
        first.train_epoch()
    second = new_trial(epochs=4, **settings)
    second.load_state_dict(torch.load(tmp_path / "checkpoint", weights_only=True))
    while not second.finished:
        second.train_epoch()
    assert second.history == first.history
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name


@pytest.mark.parametrize(
    ("settings", "pieces"),
    [
        ({"momentum": 0.8}, ("momentum 0.8", "'adam'", "leave momentum at 0.9", "choose optimizer sgd")),
        ({"nesterov": True}, ("nesterov", "'adam'", "choose optimizer sgd")),
        ({**SGD, "nesterov": True}, ("nesterov", "momentum 0;", "a momentum above 0")),
        ({"optimizer": "adamw"}, ("weight_decay 0", "'adamw'", "set weight_decay")),
        ({"optimizer": "rmsprop"}, ("'rmsprop'", "optimizer", "'adam', 'adamw' or 'sgd'")),
        ({"warmup": 10}, ("warmup 10", "epochs 10", "set warmup below epochs")),
        ({"step_epochs": 3}, ("step_epochs 3", "'constant'", "choose schedule step")),
        ({"schedule": "step"}, ("step_epochs 30", "epochs 10", "set step_epochs below")),
        ({"schedule": "step", "step_epochs": 8, "warmup": 2}, ("step_epochs 8", "warmup 2", "never falls")),
        ({"head_lr": 0.1, "freeze": "trunk"}, ("head_lr 0.1", "'trunk'", "set lr instead")),
        ({"freeze": 2}, ("bad value 2 for freeze", "none, trunk, or all_but_N")),
        ({"freeze": "all_but_0"}, ("'all_but_0'", "all_but_N")),
        ({"freeze": "all_but_3"}, ("'all_but_3'", "'small_cnn'", "has 3 blocks", "all_but_1 to all_but_2")),
        ({"clip_norm": -1}, ("-1", "clip_norm")),
    ],
)
def test_settings_without_effect_are_refused(settings, pieces):
    with pytest.raises(ConfigurationError) as caught:
        resolve(settings)
    for piece in pieces:
        assert piece in str(caught.value)
