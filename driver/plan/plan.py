"""The plan of a sweep: its trials, the queue that hands them out, and the manifest sweep.json."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from driver import user_errors
from records import StorageError, SweepRecords, open_storage
from records.store import Record
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

    @property
    def planned(self) -> int:
        """The total number of trials."""
        return len(self.trials)

    def owns(self, record: Record) -> bool:
        """Whether a record of the sweep belongs to one of these trials."""
        return record["trial_key"] in self.trials

    def others(self, records: Sequence[Record]) -> int:
        """The number of a sweep's records that other commands left."""
        return sum(not self.owns(record) for record in records)

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

    def declaration(self) -> dict[str, Any]:
        """Further entries of sweep.json."""
        return {}


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
def declare(records: SweepRecords, plan: Plan, others: int = 0) -> None:
    """Write sweep.json: the space and its primary analysis, declared before the first trial and kept from then on.

    `planned_trials` counts the plan's trials and the `others`, records that other commands left.

    Raises:
        UserError: sweep.json cannot be read or written.
    """
    manifest = records.manifest() or {
        "space": plan.space.name,
        "primary": asdict(plan.space.primary),
        "comparisons": list(plan.space.comparisons),
    }
    trials = {"planned_trials": plan.planned + others}
    records.write_manifest({**manifest, **trials, **plan.declaration()})
