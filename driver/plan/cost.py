"""An estimate of the time that trials take, from a short measurement on this machine."""

import time
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.benchmark import Timer

from records.columns import SPLITS
from trainables import TrialConfig
from trainables.core.batch import at_once
from trainables.core.config import Options
from trainables.core.process import use_one_thread
from trainables.datasets import find_dataset, load
from trainables.methods.costs import relative_cost
from trainables.models.initialise import initialise
from trainables.saliency.attribution import ATTRIBUTIONS
from trainables.saliency.faithfulness import COPIES, REGIONS, STEPS
from trainables.saliency.localisation import TUNED
from trainables.trial.same_training import by_training

OVERHEAD, SAMPLE, MOST_TIMED = 0.3, 100, 32
"""Seconds per trial besides its arithmetic; number of training images by which the cost of a map is estimated; images
of a batch that is timed."""


def estimated_seconds(trials: Iterable[TrialConfig]) -> float:
    """Processor seconds of all trials, one thread each, counting shared trainings once; accurate to a factor of two."""
    use_one_thread()
    total = 0.0
    for training in by_training(trials):
        costs = [_training_and_scoring_seconds(config) for config in training]
        total += costs[0][0] + sum(scoring for _, scoring in costs)
    return total


def _training_and_scoring_seconds(config: TrialConfig) -> tuple[float, float]:
    data = dimensions(config)
    forward, step = _seconds_per_image(config.model, tuple(data.images.shape[1:]), data.classes)
    validation = data.sizes["valid_id"] + data.sizes["valid_ood"]
    epoch = data.sizes["train"] * step * relative_cost(config.method, config.model) + validation * forward
    passes = sum(data.sizes.values()) + _attribution_passes(config, data.images)
    return config.epochs * epoch, passes * forward + OVERHEAD


def _attribution_passes(config: TrialConfig, images: Tensor) -> int:
    splits = 2 + config.randomisation_check + bool(set(config.metrics) & set(TUNED))
    # Faithfulness attributes noisy copies, and fades and masks the images of both splits.
    times, faded = (splits + 2 * COPIES, 2 * (2 * STEPS + REGIONS)) if config.faithfulness else (splits, 0)
    per_image = sum(times * ATTRIBUTIONS[name](config).passes(images) + faded for name in config.attributions)
    return config.attribution_images * per_image


class Dimensions(NamedTuple):
    """Properties of the data: images of each split, some training images, number of classes, bytes in memory."""

    sizes: dict[str, int]
    images: Tensor
    classes: int
    nbytes: int


_known: dict[tuple[str, Options], Dimensions] = {}


def dimensions(config: TrialConfig) -> Dimensions:
    """Measured once per dataset and options; severity and data seed change little."""
    dataset = find_dataset(config.dataset)
    options = dataset.Options(**config.dataset_options)
    if (known := _known.get((config.dataset, options))) is not None:
        return known
    data = options, config.severity, config.data_seed
    splits = load(dataset, *data)
    sizes, images = {name: len(splits[name]) for name in SPLITS}, splits["train"].images[:SAMPLE].clone()
    nbytes = sum(split.nbytes for split in splits.values())
    return _known.setdefault((config.dataset, options), Dimensions(sizes, images, dataset(*data).classes, nbytes))


@cache
def _seconds_per_image(model_name: str, shape: tuple[int, ...], classes: int) -> tuple[float, float]:
    """Seconds per image of a forward pass and of a training step, in batches of 32; smaller ones of large images."""
    model = initialise(model_name, shape[0], classes, seed=0, side=min(shape[1:]))
    images = torch.rand(MOST_TIMED, *shape)
    images = images[: at_once(images.shape, images.device)]
    labels = torch.zeros(len(images), dtype=torch.long)

    def step() -> None:
        cross_entropy(model(images).logits, labels).backward()

    def seconds(statement: str) -> float:
        # On the processor there is no accelerator to wait for.
        timer = Timer(statement, globals={"model": model, "images": images, "step": step}, timer=time.perf_counter)
        return float(timer.blocked_autorange(min_run_time=0.3).mean) / len(images)

    with torch.no_grad():
        forward = seconds("model(images)")
    return forward, seconds("step()")
