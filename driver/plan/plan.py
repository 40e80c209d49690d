"""The plan of a sweep: its trials, the queue that hands them out, and the manifest sweep.json."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from driver import user_errors
from driver.plan.fixed import fixed_settings
from records import Manifest, StorageError, SweepRecords, open_storage
from records.store import KeepWeights, Record
from search_spaces import Space
from trainables import TrialConfig
from trainables.trial.same_training import SameTraining, by_training


class Queue(Protocol):
    """Trainings that still have to run."""

    def __len__(self) -> int:
        """The number of trainings not handed out yet."""

    def next(self) -> SameTraining | None:
        """The next training; None where there is none, or none until a running one has ended.

        Raises:
            StorageError: the records of ended trainings cannot be read.
        """

    def ended(self, training: SameTraining) -> None:
        """Note that a training no longer runs: its records are written, or the sweep stops."""

    def drop(self, skips: Callable[[str], bool]) -> int:
        """Leave out what is not handed out yet of the methods that `skips` is true of; the number of trials."""


class PlannedQueue:
    """Trials known beforehand, in their order; those with the same training together."""

    def __init__(self, trials: Iterable[TrialConfig]):
        self.trainings = by_training(trials)
        self.handed_out = 0

    def __len__(self) -> int:
        return len(self.trainings) - self.handed_out

    def next(self) -> SameTraining | None:
        if not len(self):
            return None
        self.handed_out += 1
        return self.trainings[self.handed_out - 1]

    def ended(self, training: SameTraining) -> None:
        """Do nothing: the plan does not depend on results."""

    def drop(self, skips: Callable[[str], bool]) -> int:
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
    """The number of trials of each seed, before the plan is cut short; None where seeds differ in it."""
    cut: bool = False
    """Whether --max-trials leaves out trials of the space."""

    @property
    def planned(self) -> int:
        """The total number of trials."""
        return len(self.trials)

    @property
    def datasets(self) -> set[str]:
        """The names of its datasets."""
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
        """The trials that are not among `records`, or that failed: the cause of a failure may be gone."""
        done = {record["trial_key"] for record in records if record["status"] != "failed"}
        return [config for key, config in self.trials.items() if key not in done]

    def queue(self, records: SweepRecords, existing: Sequence[Record], slots: int | None) -> Queue:
        """The pending trials as a queue.

        Args:
            records: the sweep's, from which a search reads the results of its running trials.
            existing: all of them so far.
            slots: trainings at a time; None if unknown.
        """
        return PlannedQueue(self.pending(existing))

    @property
    def searcher(self) -> str | None:
        """The algorithm that chooses trials by earlier results, if any."""
        return None

    def tuned(self) -> dict[str, str]:
        """Settings whose values are not known beforehand, each with its range in words."""
        return {}

    def answer(self, records: Sequence[Record]) -> str | None:
        """The result in words, from the plan's own records; None where the analysis gives it."""
        return None

    def declared_in(self, manifest: Manifest) -> Manifest:
        """The sweep's manifest with what this plan alone declares."""
        return replace(manifest, fixed={**manifest.fixed, **self.fixed()})


@user_errors(StorageError, ValueError)
def open_records(storage: str, name: str, fresh: bool) -> SweepRecords:
    """The records of sweep `name` in `storage`; with `fresh`, of the first of name, name-2, … without any file.

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
    """Write sweep.json before the first trial; whether it says anything new.

    The space and its primary analysis are kept as they were declared first. `planned_trials` counts the plan's trials
    and the `others`, records that other commands left. `commands` holds every `command` that
    trained, the latest last, `fixed` what the latest command on each dataset did not
    vary, and with it what the analysis leaves out. `keep_weights` is "all" once a command was to `keep` all.

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
