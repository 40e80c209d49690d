"""The plan of a sweep: its trials, the queue that hands them out, and the manifest sweep.json."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from driver import user_errors
from records import Manifest, StorageError, SweepRecords, columns, open_storage
from records.store import KeepWeights, Record
from search_spaces import Settings, Space
from trainables import TrialConfig
from trainables.core.config import DETECTED
from trainables.trial.same_training import SameTraining, by_training

DESIGN = frozenset(
    (
        *("dataset", "severity", "method", "strength", "selection", *columns.CONTROLS),
        *map(columns.setting, ("mask_dilation", columns.PLUGINS)),
        # The location of the images; the digest of their content distinguishes them.
        columns.setting("root"),
    )
)
"""Columns that may take several values in any sweep: the analysis compares or distinguishes them by itself."""


class Queue:
    """Trainings that still have to run: all trials that share a training are run together."""

    def __init__(self, trials: Iterable[TrialConfig]):
        self.trainings = by_training(trials)
        self.handed_out = 0

    def __len__(self) -> int:
        """The number of trainings not handed out yet."""
        return len(self.trainings) - self.handed_out

    def next(self) -> SameTraining | None:
        """The next training; None if there is none, or none until a running one has ended.

        Raises:
            StorageError: the records of ended trainings cannot be read.
        """
        if not len(self):
            return None
        self.handed_out += 1
        return self.trainings[self.handed_out - 1]

    def ended(self, training: SameTraining) -> None:
        """Note that a training no longer runs: its records are written, or the sweep stops."""

    def drop(self, skips: Callable[[str], bool]) -> int:
        """Remove queued trainings whose method `skips`, and return the number of their trials."""
        waiting = self.trainings[self.handed_out :]
        kept = [training for training in waiting if not skips(training[0].method)]
        self.trainings[self.handed_out :] = kept
        return sum(map(len, waiting)) - sum(map(len, kept))


@dataclass(frozen=True)
class Plan:
    """The trials of a sweep in the order in which they run, without duplicates."""

    space: Space
    trials: dict[str, TrialConfig]
    """By trial key."""
    replicate: int | None = None
    """The number of trials of each seed, before the plan is cut short; None if it differs between seeds."""
    cut: bool = False
    """Whether --max-trials leaves out trials of the space."""

    @property
    def planned(self) -> int:
        """The total number of trials."""
        return len(self.trials)

    @property
    def datasets(self) -> set[str]:
        return {config.dataset for config in self.trials.values()}

    def owns(self, record: Record) -> bool:
        """Whether a record of the sweep belongs to one of these trials."""
        return record["trial_key"] in self.trials

    def others(self, records: Sequence[Record]) -> list[Record]:
        """A sweep's records that other commands left."""
        return [record for record in records if not self.owns(record)]

    def fixed(self) -> dict[str, dict[str, Any]]:
        """The settings that neither the space nor the plan varies; see `fixed_settings`."""
        return fixed_settings(self.space.trials, self.trials.values())

    def pending(self, records: Sequence[Record]) -> list[TrialConfig]:
        """The trials that have no record or failed, since the cause of a failure may be gone."""
        done = {record["trial_key"] for record in records if record["status"] != "failed"}
        return [config for key, config in self.trials.items() if key not in done]

    def queue(self, records: SweepRecords, existing: Sequence[Record], slots: int | None) -> Queue:
        """The pending trials as a queue.

        Args:
            records: the sweep's, from which a search reads the results of its trials.
            existing: all of them so far.
            slots: maximum number of concurrent trainings; None if unknown.
        """
        return Queue(self.pending(existing))

    @property
    def searcher(self) -> str | None:
        """The algorithm that chooses trials by earlier results, if any."""
        return None

    def tuned(self) -> dict[str, str]:
        """Settings whose values are not known beforehand, each with its range in words."""
        return {}

    def answer(self, records: Sequence[Record]) -> str | None:
        """The result in words, from the plan's own records; None if the analysis gives it."""
        return None

    def declared_in(self, manifest: Manifest) -> Manifest:
        """The sweep's manifest with the entries that depend on the kind of plan."""
        return replace(manifest, fixed={**manifest.fixed, **self.fixed()})


def fixed_settings(space: Sequence[Settings], trials: Iterable[TrialConfig]) -> dict[str, dict[str, Any]]:
    """By dataset, the values of all columns of settings that neither the space nor the plan varies.

    The analysis excludes records with other values. None stands for a setting that records omit at its default.

    Args:
        space: the trials of the space, before overrides. A setting that it varies is free, whatever value a command
            gives it.
        trials: the plan's.
    """
    free = set(DESIGN)
    first: dict[tuple[object, object], Settings] = {}
    for settings in space:
        other = first.setdefault((settings["dataset"], settings["method"]), settings)
        if other != settings:
            differing = (name for name in other.keys() | settings if other.get(name) != settings.get(name))
            free.update(map(columns.setting, differing))
    fixed: dict[str, dict[str, Any]] = {}
    # One trial of each combination is enough: all other differences between trials go with these.
    for config in {(c.dataset, c.severity, c.method, c.preset, c.model): c for c in trials}.values():
        values = dict.fromkeys(map(columns.setting, (*config.own_settings(), *DETECTED))) | config.columns()
        on_dataset = fixed.setdefault(config.dataset, values)
        free |= {name for name, value in values.items() if on_dataset.setdefault(name, value) != value}
    return {
        dataset: {name: values[name] for name in columns.ordered(set(columns.configuration_in(values)) - free)}
        for dataset, values in fixed.items()
    }


@user_errors(StorageError, ValueError)
def open_records(storage: str, name: str, fresh: bool) -> SweepRecords:
    """The records of sweep `name` in `storage`; with `fresh`, of the first of name, name-2, … that has no file.

    Raises:
        UserError: unusable storage or name, or an unreadable sweep.json.
    """
    opened = open_storage(storage)
    opened.check()
    records, number = SweepRecords(opened, name), 1
    while fresh and opened.names(f"{records.name}/"):
        number += 1
        records = SweepRecords(opened, f"{name}-{number}")
    records.manifest()
    return records


@user_errors(StorageError, ValueError)
def declare(records: SweepRecords, plan: Plan, command: str, others: int = 0, keep: KeepWeights = "none") -> bool:
    """Write sweep.json before the first trial, and return whether it changed.

    The space, primary and comparisons stay as the sweep first declared them.

    Args:
        records: the sweep's.
        plan: its trials, which `planned_trials` counts, and its fixed settings.
        command: moved to the end of `commands`.
        others: number of records that other commands left, which `planned_trials` also counts.
        keep: `keep_weights` is "all" if any command kept all weights.

    Raises:
        UserError: sweep.json cannot be read or written.
    """
    earlier = records.manifest()
    space = plan.space
    manifest = earlier or Manifest(space=space.name, primary=space.primary, comparisons=tuple(space.comparisons))
    declared = replace(
        plan.declared_in(manifest),
        planned_trials=plan.planned + others,
        commands=(*(other for other in manifest.commands if other != command), command),
        keep_weights="all" if keep == "all" else manifest.keep_weights,
    )
    records.write_manifest(declared)
    return earlier is None or declared.to_json() != earlier.to_json()


def latest_command(manifest: Manifest) -> tuple[str | None, bool]:
    """The latest command that trained, without its --max-trials, and whether it had one that left out trials."""
    latest = manifest.commands[-1] if manifest.commands else ""
    whole = re.sub(r" --max-trials \d+", "", latest)
    return whole or None, whole != latest
