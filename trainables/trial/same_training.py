"""Trials that share one training: trained once, each scored and recorded as if it had been trained alone.

They differ in their selection rule and, under a method that does not read the preset, in the preset, which then only
decides how the AUC is computed and how far maps are blurred. Except for times, each record equals that of the trial
trained alone bit for bit; `train_seconds` is the time of the shared training in all of them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from trainables.core.config import TrialConfig
from trainables.core.errors import ConfigurationError
from trainables.methods import METHODS
from trainables.trial.resolve import resolve

SameTraining = tuple[TrialConfig, ...]
"""One or more trials with equal training keys and different trial keys."""
ALSO_SCORED_AS = "also_scored_as"
"""In a Tune configuration: for each further trial of the same training, the settings in which it differs."""


def training_key(config: TrialConfig) -> str:
    """Equal key, same training: the trial key with the settings that training does not read at fixed values."""
    representative: dict[str, Any] = {"selection": "best_valid_id", "blur_scale": 1}
    if not METHODS[config.method].reads_preset:
        representative["preset"] = "fixed"
    return config.model_copy(update=representative).trial_key


def by_training(trials: Iterable[TrialConfig]) -> list[SameTraining]:
    """The trials grouped by training, in the order of each group's first trial."""
    groups: dict[str, list[TrialConfig]] = {}
    for trial in trials:
        groups.setdefault(training_key(trial), []).append(trial)
    return [tuple(group) for group in groups.values()]


def flat(trials: SameTraining) -> dict[str, Any]:
    """Flat settings that `parse` turns back into `trials`: those of the first, and how the others differ."""
    first, *others = (trial.flat() for trial in trials)
    # A detected setting is absent at its default; None leaves it to be detected again.
    also = [{k: other.get(k) for k in first | other if other.get(k) != first.get(k)} for other in others]
    return {**first, ALSO_SCORED_AS: also} if also else first


def parse(settings: Mapping[str, Any]) -> SameTraining:
    """The trials that flat settings describe; ConfigurationError if one needs another training or is named twice."""
    shared = {k: v for k, v in settings.items() if k != ALSO_SCORED_AS}
    differences = settings.get(ALSO_SCORED_AS, ())
    first, *others = trials = [resolve({**shared, **difference}) for difference in ({}, *differences)]
    for other, difference in zip(others, differences, strict=True):
        if training_key(other) != training_key(first):
            raise ConfigurationError(
                f"bad {ALSO_SCORED_AS} entry {difference!r}: trials of one training differ in selection only, or in "
                "the preset under a method that does not read it; run it as a trial of its own"
            )
    if len({trial.trial_key for trial in trials}) < len(trials):
        raise ConfigurationError(f"{ALSO_SCORED_AS} {differences!r} names one trial twice; name each once")
    return tuple(trials)
