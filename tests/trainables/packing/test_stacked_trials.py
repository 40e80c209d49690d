"""Packed trials against the same trials alone: in double precision, where they may differ by rounding of 1e-16."""

import copy
import math

import pytest
import torch

from trainables import METHODS, MODELS, Trial
from trainables.batch import Batch
from trainables.models.initialise import initialise
from trainables.packing import STACKED, STACKED_MODELS, StackedTrials, stacked_trials
from trainables.packing.stacked_batch import StackedBatch
from trainables.packing.stacked_loss import stacked_loss
from trainables.packing.stacked_model import StackedModel

CASES = [(m, p) for m in sorted(STACKED) for p in ("fixed", "paper") if p == "fixed" or METHODS[m].reads_preset]
# Maskless images are what the policies for them are about; without them skip, outside and inside are one.
SETTINGS = {"mask_fraction": 0.7}


def assert_alike(packed: Trial, alone: Trial, tolerance: float) -> None:
    """Weights, batch statistics, what Adam gathered, random streams, history and selection."""

    def close(a, b):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)

    close(packed.model.state_dict(), alone.model.state_dict())
    for p, q in zip(packed.model.parameters(), alone.model.parameters(), strict=True):
        close(dict(packed.optimizer.state[p]), dict(alone.optimizer.state[q]))
    assert torch.equal(packed.order_rng.get_state(), alone.order_rng.get_state())
    assert (packed.epoch, packed.model_steps) == (alone.epoch, alone.model_steps)
    for mine, theirs in zip(packed.history[packed.config.preset], alone.history[alone.config.preset], strict=True):
        assert mine == pytest.approx(theirs, rel=tolerance, abs=tolerance, nan_ok=True)
    assert {s: b.epoch for s, b in packed.best.items()} == {s: b.epoch for s, b in alone.best.items()}


def train(trials, epochs=2):
    return [[trial.train_epoch() for trial in trials] for _ in range(epochs)]


@pytest.mark.parametrize(("method", "preset"), CASES)
def test_each_member_trains_as_it_does_alone(method, preset, members, in_double):
    reads = SETTINGS if METHODS[method].reads_masks else {}
    configs = members(method, preset=preset, **reads)
    alone, packed = in_double(configs), in_double(configs)
    epochs = 2 if preset == "fixed" else 1
    train(alone, epochs)
    stacked = StackedTrials(packed)
    for _ in range(epochs):
        stacked.train_epoch()
    for mine, theirs in zip(packed, alone, strict=True):
        assert_alike(mine, theirs, 1e-9)


def test_the_deep_models_losses_and_gradients_are_each_members_own(members):
    """Residual blocks, and a penalty that needs the second derivative of every layer."""
    configs = members("gradmask", model="resnet18")[:2]
    generator = torch.Generator().manual_seed(0)
    batches = [
        Batch(
            torch.rand(3, 1, 8, 8, generator=generator, dtype=torch.float64),
            torch.tensor([0, 1, 1]),
            torch.rand(3, 1, 8, 8, generator=generator) < 0.3,
            generator,
        )
        for _ in configs
    ]
    models = [initialise("resnet18", 1, 2, config.seed).double() for config in configs]
    method = METHODS["gradmask"](configs[0], models[0].feature_size)
    stacked = StackedModel(models)
    parts = ([getattr(batch, name) for batch in batches] for name in ("images", "labels", "masks"))
    loss = stacked_loss(method, stacked, StackedBatch(*map(torch.stack, parts), [generator] * 2))
    gradients = torch.autograd.grad((loss.classification + loss.penalty).sum(), list(stacked.parameters()))
    for member, (model, batch) in enumerate(zip(models, batches, strict=True)):
        expected = method.loss(model, batch)
        torch.testing.assert_close(loss.classification[member], expected.classification)
        torch.testing.assert_close(loss.penalty[member], expected.penalty)
        own = torch.autograd.grad(expected.classification + expected.penalty, list(model.parameters()))
        for whole, part in zip(gradients, own, strict=True):
            torch.testing.assert_close(whole.chunk(2)[member].view_as(part), part)
        copied = initialise("resnet18", 1, 2, seed=9).double()
        stacked.write_back(member, copied)
        torch.testing.assert_close(copied.state_dict(), model.state_dict())
    assert set(STACKED_MODELS) == set(MODELS), "a further model is stacked and tested here, or named here as left out"


def test_one_that_leaves_the_finite_numbers_ends_as_alone_and_the_others_do_not_notice(members):
    configs = members("rrr")
    configs[1] = configs[1].model_copy(update={"lr": 1e30})
    alone, packed = list(map(Trial, configs)), list(map(Trial, configs))
    others = list(map(Trial, members("rrr")))
    with pytest.raises(ArithmeticError) as expected:
        train([alone[1]], 1)
    outcomes, undisturbed = StackedTrials(packed).train_epoch(), StackedTrials(others).train_epoch()
    assert str(outcomes[1]) == str(expected.value)
    assert isinstance(outcomes[1], type(expected.value))
    assert outcomes[::2] == undisturbed[::2], "bit for bit"
    assert_alike(packed[0], others[0], 0.0)
    assert_alike(packed[2], others[2], 0.0)


def test_members_at_different_epochs_train_together(members, in_double):
    """As after a kill, where one was taken up from a checkpoint and another has none."""
    configs = members("actdiff", epochs=3)
    alone, packed = in_double(configs), in_double(configs)
    train(alone, 1)
    train([alone[1]], 1)
    train([packed[1]], 1)
    StackedTrials(packed).train_epoch()
    for mine, theirs in zip(packed, alone, strict=True):
        assert_alike(mine, theirs, 1e-9)
    # What one leaves then continues it by itself too.
    taken_up = in_double([configs[0]])[0]
    taken_up.load_state_dict(copy.deepcopy(packed[0].state_dict()))
    train([taken_up, alone[0]], 1)
    assert_alike(taken_up, alone[0], 1e-9)


def test_where_memory_runs_out_halves_train_by_themselves(members, monkeypatch):
    whole = stacked_trials.StackedModel
    made = []

    def two_at_most(models):
        made.append(len(models))
        if len(models) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(models)

    monkeypatch.setattr(stacked_trials, "StackedModel", two_at_most)
    configs = members("shuffled")
    packed, expected = list(map(Trial, configs)), list(map(Trial, configs))
    stacked = StackedTrials(packed)
    for _ in range(2):
        outcomes = stacked.train_epoch()
    assert made == [3, 2, 2], "the whole is tried once"
    assert [set(outcome) for outcome in outcomes] == [set(packed[0].history["fixed"][1])] * 3
    train([expected[2]])
    assert_alike(packed[2], expected[2], 0.0)


def test_without_a_strength_nothing_of_the_penalty_is_computed(members):
    configs = [config.model_copy(update={"strength": 0.0}) for config in members("gradmask")]
    trials = list(map(Trial, configs))
    outcomes = StackedTrials(trials).train_epoch()
    assert [outcome["train.penalty"] for outcome in outcomes] == [0.0, 0.0, 0.0]
    assert all(math.isfinite(outcome["train.loss"]) for outcome in outcomes)


def test_trials_of_two_kinds_are_refused(members):
    trials = [Trial(config) for config in (members("rrr")[0], members("gradmask")[0])]
    with pytest.raises(ValueError, match="trials of more than one kind; stack those of each `kind` by themselves"):
        StackedTrials(trials)
