"""Trials that are trained alike and differ in what is made of it: trained once, each with a record of its own.

Such trials differ in their selection rule, and under a method that does not read the preset in the preset too, which
then only says how the AUC is computed. Each record is the one that its trial alone would have left, bit for bit, but
for the times: `train_seconds` is that of the one training, whichever record it stands in.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from trainables.core.config import TrialConfig
from trainables.core.errors import ConfigurationError

SameTraining = tuple[TrialConfig, ...]
"""At least one trial; all have one `training_key`, and each another trial key."""
ALSO_SCORED_AS = "also_scored_as"
"""In a Tune configuration: for each further trial of the same training, the settings in which it differs."""


def by_training(trials: Iterable[TrialConfig]) -> list[SameTraining]:
    """The trials grouped by their training, in the order of each group's first trial."""
    groups: dict[str, list[TrialConfig]] = {}
    for trial in trials:
        groups.setdefault(trial.training_key, []).append(trial)
    return [tuple(group) for group in groups.values()]


def flat(trials: SameTraining) -> dict[str, Any]:
    """The settings that `parse` turns back into `trials`: those of the first, and how the others differ from it."""
    first, *others = (trial.flat() for trial in trials)
    if not others:
        return first
    return {**first, ALSO_SCORED_AS: [{k: v for k, v in other.items() if v != first[k]} for other in others]}


def parse(settings: Mapping[str, Any]) -> SameTraining:
    """The trials that flat settings describe.

    Raises:
        ConfigurationError: a bad setting, or a trial that is trained otherwise than the first, or that stands twice.
    """
    own = {k: v for k, v in settings.items() if k != ALSO_SCORED_AS}
    differences = settings.get(ALSO_SCORED_AS, ())
    first, *others = trials = [TrialConfig.parse({**own, **difference}) for difference in ({}, *differences)]
    for other, difference in zip(others, differences, strict=True):
        if other.training_key != first.training_key:
            raise ConfigurationError(
                f"bad {ALSO_SCORED_AS} entry {difference!r}: trained once are trials that differ in selection alone, "
                f"or in the preset under a method that does not read it; run it as a trial of its own"
            )
    if len({trial.trial_key for trial in trials}) < len(trials):
        raise ConfigurationError(f"{ALSO_SCORED_AS} {differences!r} names one trial twice; name each once")
    return tuple(trials)
