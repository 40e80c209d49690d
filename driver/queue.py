"""What is handed out to Tune: packs of trainings, by default of one, one after the other."""

from collections.abc import Iterable
from typing import Protocol

from trainables import TrialConfig
from trainables.packing.pack import Pack, packs, trials_of
from trainables.same_training import by_training


class Queue(Protocol):
    """Trainings that still have to run."""

    def __len__(self) -> int:
        """How many packs were not handed out yet."""

    def next(self) -> Pack | None:
        """The next pack; None where there is none, or none before another one has ended.

        Raises:
            StorageError: the records of those that have ended cannot be read.
        """

    def ended(self, pack: Pack) -> None:
        """A pack that was handed out runs no more; its records are there, or the sweep stops."""


def in_words(trials: Iterable[TrialConfig], most: int) -> str:
    """What packing comes to, for a person to read."""
    planned = list(trials)
    together = [pack for pack in packs(by_training(planned), most) if len(pack) > 1]
    number = sum(len(trials_of(pack)) for pack in together)
    return f"{number} of {len(planned)} trials train in {len(together)} packs of at most {most}, the others alone"


class PlannedQueue:
    """Trials that are known beforehand, in their order, those of one training together, and at most `most` a pack."""

    def __init__(self, trials: Iterable[TrialConfig], most: int = 1):
        self.packs = packs(by_training(trials), most)
        self.given = 0

    def __len__(self) -> int:
        return len(self.packs) - self.given

    def next(self) -> Pack | None:
        if self.given == len(self.packs):
            return None
        self.given += 1
        return self.packs[self.given - 1]

    def ended(self, pack: Pack) -> None:
        """Nothing to learn from a result: the plan is fixed."""
