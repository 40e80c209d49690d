"""The estimate of the memory that trials take."""

from itertools import product

import pytest
import torch
from torch import nn

from driver.plan import memory
from driver.plan.memory import COMMAND, PROCESS, memory_notes, saved_per_image, trial_memory
from trainables import METHODS, resolve
from trainables.methods.costs import relative_cost
from trainables.models import MODELS
from trainables.models.classifier import Classifier
from trainables.models.initialise import initialise

SIZES = {"n_train": 64, "n_valid": 32, "n_test": 64}
WIDTH = 8


class OneConvolution(Classifier):
    feature_size = WIDTH

    def build_trunk(self, channels):
        return nn.Sequential(nn.Conv2d(channels, WIDTH, 3, padding=1), nn.ReLU())


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setitem(MODELS.builtin, "one_convolution", OneConvolution)
    return resolve({"model": "one_convolution", "attributions": ("input_gradient",), **SIZES})


@pytest.mark.parametrize(("method", "passes"), [("baseline", 1), ("actdiff", 2), ("counterfactual_fill", 3)])
def test_a_step_saves_what_the_layers_need_in_each_pass(small, method, passes):
    config = small.model_copy(update={"method": method, "strength": float(METHODS[method].has_penalty)})
    model = initialise("one_convolution", 1, 2, seed=0)
    # The convolution's input and the output of the ReLU, of 4 bytes a pixel; features and logits take a hundred bytes.
    expected = passes * 4 * 28 * 28 * (1 + WIDTH)
    assert saved_per_image(config, model, torch.zeros(1, 1, 28, 28)) == pytest.approx(expected, rel=0.05 * passes)


def test_weights_and_optimiser_are_counted(small):
    weights = 4 * (WIDTH * 9 + WIDTH + WIDTH * 2 + 2)
    need = {
        optimizer: trial_memory([small.model_copy(update={"optimizer": optimizer, "momentum": momentum})])[0].training
        for optimizer, momentum in (("adam", 0.9), ("sgd", 0.0))
    }
    assert need["adam"] - need["sgd"] == 2 * weights
    head = trial_memory([small.model_copy(update={"optimizer": "sgd", "momentum": 0.0, "freeze": "trunk"})])[0].training
    assert head < need["sgd"]


def test_memory_grows_with_the_batch_and_with_the_splits_that_a_process_keeps():
    base = resolve({"batch_size": 64, **SIZES})
    ((process, training),) = trial_memory([base])
    ((_, of_half),) = trial_memory([base.model_copy(update={"batch_size": 32, "attribution_images": 32})])
    assert training > 1.9 * of_half
    splits = 28 * 28 * (4 + 1 + 1) * (64 + 2 * 32 + 2 * 64)
    assert process == PROCESS + splits + 64 * 28 * 28
    several = [base.model_copy(update={"severity": s, "data_seed": d}) for s, d in product((0.0, 0.5, 1.0), range(4))]
    assert {need.process - process for need in trial_memory(several * 2)} == {11 * splits}
    many = [base.model_copy(update={"data_seed": seed}) for seed in range(1000)]
    assert trial_memory(many)[0].process < PROCESS + 1.01 * memory.MAX_BYTES


def test_a_machine_that_is_too_small_is_named_with_what_fits():
    trials = [resolve({"seed": seed, **SIZES}) for seed in range(8)]
    one = sum(trial_memory(trials)[0])
    (fits,) = memory_notes(trials, 2, available=COMMAND + 2 * one)
    total = f"{(2 * one + COMMAND) / 1e9:.1f} GB with 2 trials at a time"
    assert f"up to {one / 1e9:.1f} GB a trial, {total}" in fits
    _, warning = memory_notes(trials, 3, available=COMMAND + 2 * one)
    assert warning.startswith("Warning: trials may run out of memory; give --concurrency 2, or lower batch_size")
    _, warning = memory_notes(trials, 1, available=one)
    assert warning.startswith("Warning: trials may run out of memory; lower batch_size or the dataset's image_size")
    # One trial is left, whatever the slots.
    assert len(memory_notes(trials[:1], 8, available=COMMAND + one)) == 1


def test_nothing_is_said_of_other_machines_or_of_no_trials():
    trials = [resolve(SIZES)]
    assert memory_notes([], 2) == []
    (line,) = memory_notes(trials, None, available=1)
    assert line.endswith("GB a trial")
    (line,) = memory_notes(trials, None, gpu=True, available=1)
    assert "of its GPU, both without CUDA's own" in line


def test_a_method_that_fails_is_estimated_from_its_time(monkeypatch):
    def fails(*_):
        raise ValueError("not on these images")

    monkeypatch.setattr(memory, "_known", {})
    monkeypatch.setattr(METHODS["hint"], "loss", fails)
    config = resolve({"method": "hint", "strength": 1.0, **SIZES})
    trial_memory([config])
    (step,) = memory._known.values()
    assert step.saved == step.saved_in_scoring * relative_cost("hint", "small_cnn")
