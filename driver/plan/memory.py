"""An estimate of the memory that trials take, from a step of each method on a few images."""

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

import torch
from ray._private.utils import get_system_memory
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from analysis.numbers import count
from driver.plan.cost import dimensions
from trainables import TrialConfig
from trainables.core.batch import MOST_AT_ONCE, Batch, at_once
from trainables.core.streams import torch_stream
from trainables.datasets.dataset import MAX_BYTES
from trainables.methods import METHODS
from trainables.methods.costs import relative_cost
from trainables.models import Classifier
from trainables.models.initialise import initialise
from trainables.trial.recipe import freeze

PROCESS, COMMAND = 800 * 2**20, 2**30
"""Bytes of a trial's process besides data and training, and of `sweep.py` with Ray's own processes. Measured on Linux,
as the highest RssAnon in /proc/PID/status, with space `smoke` and 64 training images. The first trial takes less."""
STEP = 1.5
"""Peak memory of a step in bytes that it saves for its backward pass. Measured: 1.6 to 2.2 with second derivatives, 1.0
to 1.5 without, for ten methods on ResNet-18."""
GB = 1e9


class TrialMemory(NamedTuple):
    """Bytes of memory that a trial takes at most."""

    process: int
    """The program and the splits that it holds. Images mapped from files are not counted."""
    training: int
    """Weights, optimiser state and one training step: on the GPU, if the trial has one."""


def memory_notes(
    trials: Collection[TrialConfig], slots: int | None, gpu: bool = False, available: int | None = None
) -> list[str]:
    """The memory of the largest trial and of `slots` such trials at a time, and a warning if they may not fit.

    `slots` is None if trials share no machine that is known. `available` is the machine's memory in bytes; by default
    its RAM, or the limit of this process's cgroup if that is lower, as Ray measures it.
    """
    if not trials:
        return []
    needs = trial_memory(trials, gpu)
    if gpu:
        process, training = (max(sizes) / GB for sizes in zip(*needs, strict=True))
        return [f"Memory: up to {process:.1f} GB a trial and {training:.1f} GB of its GPU, both without CUDA's own"]
    largest = max(map(sum, needs))
    trial = f"Memory: up to {largest / GB:.1f} GB a trial"
    if slots is None:
        return [trial]
    slots, available = min(slots, len(trials)), available or get_system_memory()
    total, fit = slots * largest + COMMAND, (available - COMMAND) // largest
    notes = [
        f"{trial}, {total / GB:.1f} GB with {count(slots, 'trial')} at a time and this command; "
        f"the machine has {available / GB:.1f} GB. Accurate to a factor of 1.5"
    ]
    if total > available:
        fewer = f"give --concurrency {fit}, or " if fit > 0 else ""
        notes.append(f"Warning: trials may run out of memory; {fewer}lower batch_size or the dataset's image_size")
    return notes


def trial_memory(trials: Collection[TrialConfig], gpu: bool = False) -> list[TrialMemory]:
    """The memory of each trial."""
    data = [(config.dataset, str(config.dataset_options)) for config in trials]
    draws = {(*one, config.severity, config.data_seed) for one, config in zip(data, trials, strict=True)}
    loaded = Counter(draw[:2] for draw in draws)
    return [_trial_memory(config, loaded[one], gpu) for one, config in zip(data, trials, strict=True)]


def _trial_memory(config: TrialConfig, loaded: int, gpu: bool) -> TrialMemory:
    data = dimensions(config)
    # The cache of `load` keeps the splits of earlier trials.
    held = min(loaded * data.nbytes, max(data.nbytes, MAX_BYTES)) + config.mask_test * data.nbytes
    held += data.sizes["train"] * data.images[0, 0].numel() if data.nbytes else 0
    step = _step_of(config, data.images[:1], data.classes)
    moments = config.momentum > 0 if config.optimizer == "sgd" else 2
    optimizer = moments * step.trained
    # Beside the weights and their gradients, the best epoch's weights are kept, twice while they are replaced.
    state = 3 * step.weights + step.trained + optimizer
    scored = min(config.attribution_images, MOST_AT_ONCE if gpu else at_once(data.images.shape, data.images.device))
    images = max(min(config.batch_size, data.sizes["train"]) * step.saved, scored * step.saved_in_scoring)
    # A checkpoint is in memory twice while it is written, between two steps.
    checkpoint = 2 * (2 * step.weights + optimizer)
    return TrialMemory(PROCESS + held, state + max(round(STEP * images), checkpoint))


class Step(NamedTuple):
    """Bytes of a network and of a method's training step."""

    weights: int
    trained: int
    """Bytes of the weights that are trained."""
    saved: float
    """Bytes per image that are saved for the backward pass."""
    saved_in_scoring: float
    """The same for the gradient of a logit."""


_known: dict[tuple[object, ...], Step] = {}


def _step_of(config: TrialConfig, images: Tensor, classes: int) -> Step:
    """Measured once per network, size of the images, method, and whether its penalty is used."""
    key = config.model, config.freeze, config.method, config.strength > 0, images.shape, classes
    if key not in _known:
        model = initialise(config.model, images.shape[1], classes, seed=0, side=min(images.shape[2:]))
        plain = config.model_copy(update={"method": "baseline", "strength": 0.0, "method_options": {}})
        scoring = saved_per_image(plain, model, images)
        freeze(config, model)
        weights = sum(tensor.nbytes for tensor in model.state_dict().values())
        trained = sum(tensor.nbytes for tensor in model.parameters() if tensor.requires_grad)
        try:
            saved = saved_per_image(config, model, images)
        except Exception:
            # A method that fails on these images must not end a dry run.
            saved = scoring * relative_cost(config.method, config.model)
        _known[key] = Step(weights, trained, saved, scoring)
    return _known[key]


def saved_per_image(config: TrialConfig, model: Classifier, images: Tensor) -> float:
    """Bytes per image that a training step keeps at once for backward passes, without what any batch needs.

    It is the difference between batches of two images and of three, of the shape of `images`.
    """
    model.train()
    method = METHODS[config.method](config, model.feature_size)
    method.epoch = config.epochs - 1
    rng = torch_stream("memory", 0)

    def most(n: int) -> int:
        shown = torch.rand(n, *images.shape[1:], generator=rng)
        masks = torch.zeros_like(shown[:, :1], dtype=torch.bool)
        masks[:, :, : masks.shape[2] // 2] = True
        labels = torch.arange(n) % 2
        saved = _Saved()
        with saved_tensors_hooks(lambda tensor: _Kept(saved, tensor), lambda kept: kept.tensor):
            method.loss(model, Batch(shown, labels, masks, rng, labels))
        return saved.most

    return most(3) - most(2)


class _Saved:
    """The bytes of the tensors that autograd keeps, each storage counted once."""

    def __init__(self) -> None:
        self.uses: Counter[int] = Counter()
        self.now = self.most = 0


class _Kept:
    """A tensor that autograd keeps."""

    def __init__(self, saved: _Saved, tensor: Tensor) -> None:
        self.saved, self.tensor = saved, tensor
        storage = tensor.untyped_storage()
        self.place, self.size = storage.data_ptr(), storage.nbytes()
        if not saved.uses[self.place]:
            saved.now += self.size
            saved.most = max(saved.most, saved.now)
        saved.uses[self.place] += 1

    def __del__(self) -> None:
        self.saved.uses[self.place] -= 1
        if not self.saved.uses[self.place]:
            self.saved.now -= self.size
