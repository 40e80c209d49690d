"""Trainings that are trained together: which can be, how they are grouped, and how Tune is told of them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from trainables import same_training
from trainables.config import TrialConfig
from trainables.errors import ConfigurationError
from trainables.packing.stacked_loss import STACKED
from trainables.same_training import SameTraining

Pack = tuple[SameTraining, ...]
"""At least one training; more have one `pack_key`."""
PACK = "pack"
"""In a Tune configuration: the settings of each training of a pack."""
STACKED_MODELS = ("resnet18", "small_cnn")
"""Models that can be packed, each held against itself by tests/trainables/packing."""
VARIES = ("data_seed", "lr", "seed", "selection", "severity", "strength")
"""Settings in which the members of a pack may differ."""


def pack_key(config: TrialConfig) -> str | None:
    """Equal key, same pack; None for a method, model or precision that cannot be packed.

    Equal are all settings but `VARIES`. A strength of 0, which makes a penalty's method the baseline, goes with its
    like.
    """
    if config.method not in STACKED or config.model not in STACKED_MODELS or config.precision != "float32":
        return None
    settings = config.model_dump(mode="json", exclude=set(VARIES))
    return json.dumps({**settings, "weighted": config.strength > 0}, sort_keys=True)


def packs(trainings: Iterable[SameTraining], most: int) -> list[Pack]:
    """The trainings in packs of at most `most`, in the order of each pack's first training.

    A pack takes the next trainings of its kind, so that a sweep whose seeds come last stays as balanced as it can be.
    """
    made: list[list[SameTraining]] = []
    open_packs: dict[str, list[SameTraining]] = {}
    for training in trainings:
        key = pack_key(training[0])
        pack = None if key is None else open_packs.get(key)
        if pack is None or len(pack) == most:
            pack = []
            made.append(pack)
            if key is not None:
                open_packs[key] = pack
        pack.append(training)
    return [tuple(pack) for pack in made]


def trials_of(pack: Pack) -> list[TrialConfig]:
    """All trials that are scored from the pack's trainings."""
    return [config for training in pack for config in training]


def flat(pack: Pack) -> dict[str, Any]:
    """The settings that `parse` turns back into `pack`; of one training its own."""
    if len(pack) == 1:
        return same_training.flat(pack[0])
    return {PACK: [same_training.flat(training) for training in pack]}


def parse(settings: Mapping[str, Any]) -> Pack:
    """The pack that settings describe.

    Raises:
        ConfigurationError: a bad setting, or trainings that cannot be packed.
    """
    if PACK not in settings:
        return (same_training.parse(settings),)
    if other := sorted(set(settings) - {PACK}):
        raise ConfigurationError(f"setting {other[0]!r} beside {PACK!r}; put it into each of the pack's trainings")
    pack = tuple(same_training.parse(training) for training in settings[PACK])
    first = pack_key(pack[0][0]) if pack else None
    for training in pack:
        if first is None or pack_key(training[0]) != first:
            raise ConfigurationError(
                f"training {training[0].training_key} of method {training[0].method!r} on model "
                f"{training[0].model!r} cannot be in this pack; packed are methods {', '.join(STACKED)} on models "
                f"{', '.join(STACKED_MODELS)}, and trainings that differ in {', '.join(VARIES)} alone"
            )
    return pack
