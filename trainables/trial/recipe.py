"""A trial's recipe: which weights are trained, by which optimiser, and how the learning rate changes."""

import re
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR, StepLR

from trainables.core.config import FREEZE_ALL_BUT, TrialConfig
from trainables.core.errors import ConfigurationError
from trainables.models import Classifier
from trainables.models.initialise import layers_of

STEP_FACTOR = 0.1
LISTS = (nn.Sequential, nn.ModuleList)
"""Containers whose elements are blocks; their subclasses, such as convolution with normalisation, are blocks."""


def optimizer_of(config: TrialConfig, model: Classifier) -> Optimizer:
    """torch's optimiser of the weights that `freeze` leaves trainable, those of the head at `head_lr`."""
    head, trained = set(model.head.parameters()), [weights for weights in model.parameters() if weights.requires_grad]
    groups: list[dict[str, Any]] = [{"params": trained}]
    if config.head_lr is not None:
        groups = [{"params": [weights for weights in trained if weights not in head]}]
        groups += [{"params": list(model.head.parameters()), "lr": config.head_lr}]
    if config.optimizer == "sgd":
        return SGD(groups, config.lr, config.momentum, weight_decay=config.weight_decay, nesterov=config.nesterov)
    return {"adam": Adam, "adamw": AdamW}[config.optimizer](groups, config.lr, weight_decay=config.weight_decay)


def schedule_of(config: TrialConfig, optimizer: Optimizer, batches: int) -> LRScheduler | None:
    """The schedule of the learning rate, stepped after each of an epoch's `batches`; None if the rate is constant.

    Batches that leave the model as it is count too (`Loss.updates_model`), so that the schedule ends with the training.
    With W batches of warm-up, batch t < W has (t + 1) / (W + 1) of the rate. The cosine falls to 0 over the others.
    """
    warmup = round(config.warmup * batches)
    rest = config.epochs * batches - warmup
    after: LRScheduler | None = None
    if config.schedule == "cosine":
        after = CosineAnnealingLR(optimizer, rest)
    elif config.schedule == "step":
        after = StepLR(optimizer, config.step_epochs * batches, STEP_FACTOR)
    if not warmup:
        return after
    before = LinearLR(optimizer, 1 / (warmup + 1), total_iters=warmup)
    return before if after is None else SequentialLR(optimizer, [before, after], [warmup])


def freeze(config: TrialConfig, model: Classifier) -> None:
    """Freeze what `config.freeze` says: no gradients of weights, and evaluation mode whatever the model's mode.

    Gradients with respect to images and maps still pass.
    """
    if config.freeze == "none":
        return
    trained = {model.head, *(module for block in _last_blocks(config, model) for module in block)}
    kept = {weights for module in trained for weights in module.parameters()}
    for weights in model.parameters():
        weights.requires_grad_(weights in kept)
    parts = {part for module in trained for part in module.modules()}
    model.frozen = tuple(m for m in model.modules() if m.state_dict() and parts.isdisjoint(m.modules()))


def _last_blocks(config: TrialConfig, model: Classifier) -> list[list[nn.Module]]:
    """The blocks that stay trainable.

    Raises:
        ConfigurationError: the model has no more blocks than that.
    """
    count = int(match[1]) if (match := re.fullmatch(FREEZE_ALL_BUT, config.freeze)) else 0
    found = blocks(model)
    if count >= len(found):
        least = f"choose all_but_1 to all_but_{len(found) - 1}, " if len(found) > 1 else "choose "
        raise ConfigurationError(
            f"freeze {config.freeze!r} for model {config.model!r}, which has {len(found)} blocks; {least}trunk (only "
            "the head is trained) or none"
        )
    return found[len(found) - count :]


def blocks(model: Classifier) -> list[list[nn.Module]]:
    """The model's parts that have weights, in order and without the head, as `freeze` counts them.

    They are the model's children; of a single one, its children. Lists are opened into their elements. Modules whose
    weights are all vectors, such as normalisation, belong to the block before them.
    """

    def parts(module: nn.Module) -> list[nn.Module]:
        return [child for child in module.children() if child is not model.head and list(child.parameters())]

    level = parts(model)
    while len(level) == 1 and parts(level[0]):
        level = parts(level[0])
    while any(type(part) in LISTS for part in level):
        level = [element for part in level for element in (parts(part) if type(part) in LISTS else [part])]
    found: list[list[nn.Module]] = []
    for part in level:
        if found and all(weights.ndim <= 1 for weights in part.parameters()):
            found[-1].append(part)
        else:
            found.append([part])
    return found


def check_recipe(config: TrialConfig, side: int) -> None:
    """Raise ConfigurationError for settings that have no effect together; `side` is that of the images in pixels."""
    optimizer, momentum, step_epochs = config.optimizer, config.momentum, config.step_epochs
    epochs = f"epochs {config.epochs}"
    for applies, message in (
        (
            optimizer != "sgd" and not config.is_default("momentum"),
            f"momentum {momentum:g} with optimizer {optimizer!r}, which does not read it; leave momentum at 0.9, or "
            "choose optimizer sgd",
        ),
        (
            config.nesterov and (optimizer != "sgd" or momentum == 0),
            f"nesterov with optimizer {optimizer!r} and momentum {momentum:g}; leave nesterov at false, or choose "
            "optimizer sgd and a momentum above 0",
        ),
        (
            optimizer == "adamw" and config.weight_decay == 0,
            "weight_decay 0 with optimizer 'adamw' is optimizer adam; choose that, or set weight_decay (torch's "
            "default for adamw is 0.01)",
        ),
        (config.warmup >= config.epochs, f"warmup {config.warmup:g} with {epochs}; set warmup below epochs"),
        (
            config.schedule != "step" and not config.is_default("step_epochs"),
            f"step_epochs {step_epochs} with schedule {config.schedule!r}, which does not read it; leave step_epochs "
            "at 30, or choose schedule step",
        ),
        (
            config.schedule == "step" and config.warmup + step_epochs >= config.epochs,
            f"step_epochs {step_epochs} with {epochs} and warmup {config.warmup:g}, so that the rate never falls; "
            "set step_epochs below epochs − warmup, or choose another schedule",
        ),
        (
            config.head_lr is not None and config.freeze == "trunk",
            f"head_lr {config.head_lr} with freeze 'trunk', under which only the head is trained; set lr instead",
        ),
    ):
        if applies:
            raise ConfigurationError(message)
    if config.freeze not in ("none", "trunk"):
        _last_blocks(config, layers_of(config.model, side))
