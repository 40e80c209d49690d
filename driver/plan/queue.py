"""What is handed out to Tune: trainings, one after the other."""

from collections.abc import Iterable
from typing import Protocol

from trainables import TrialConfig
from trainables.trial.same_training import SameTraining, by_training


class Queue(Protocol):
    """Trainings that still have to run."""

    def __len__(self) -> int:
        """How many trainings were not handed out yet."""

    def next(self) -> SameTraining | None:
        """The next training; None where there is none, or none before another one has ended.

        Raises:
            StorageError: the records of those that have ended cannot be read.
        """

    def ended(self, training: SameTraining) -> None:
        """A training that was handed out runs no more; its records are there, or the sweep stops."""


class PlannedQueue:
    """Trials that are known beforehand, in their order, those of one training together."""

    def __init__(self, trials: Iterable[TrialConfig]):
        self.trainings = by_training(trials)
        self.given = 0

    def __len__(self) -> int:
        return len(self.trainings) - self.given

    def next(self) -> SameTraining | None:
        if self.given == len(self.trainings):
            return None
        self.given += 1
        return self.trainings[self.given - 1]

    def ended(self, training: SameTraining) -> None:
        """Nothing to learn from a result: the plan is fixed."""
