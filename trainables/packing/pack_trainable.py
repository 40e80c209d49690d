"""A Tune trainable that trains a pack as one stacked model."""

import time
from typing import Any

from trainables.errors import ConfigurationError
from trainables.packing import pack
from trainables.packing.stacked_trials import StackedTrials, kind
from trainables.trainable import TrialTrainable
from trainables.training import Training


class PackTrainable(TrialTrainable):
    """The trials of a pack: each step trains an epoch of them all, and each leaves what it would leave alone.

    Its settings are those of `pack.flat`; of a single training it does what `TrialTrainable` does. A pack needs a
    `Recorder`. A trial that fails or diverges leaves its record by itself and the others go on. The last step reports
    the records of all.

    Members keep their own checkpoints. A pack that is tried again, as its process was lost, leaves out the trials that
    have their record. `train_seconds` of each is its share: a pack's seconds divided by the members that it had.
    """

    def _begin(self, settings: dict[str, Any]) -> None:
        members = pack.parse(settings)
        if self.recorder is None and (len(members) > 1 or len(members[0]) > 1):
            raise ConfigurationError("a pack needs a recorder: without one a trial reports a single result")
        self.trainings = [Training(configs, self.recorder, self.device) for configs in members]
        self._started = False
        self._stacks: list[tuple[list[Training], StackedTrials]] = []

    def _advance(self) -> dict[str, Any]:
        if len(self.trainings) == 1:
            return super()._advance()
        if not self._started:
            self._start()
        for members, stack in self._stacks:
            start = time.perf_counter()
            outcomes = stack.train_epoch()
            seconds = (time.perf_counter() - start) / len(members)
            for training, outcome in zip(members, outcomes, strict=True):
                training.seconds["train_seconds"] += seconds
                with training.failures_recorded():
                    if isinstance(outcome, Exception):
                        raise outcome
                    training.end_or_keep()
        if any(training.ended for members, _ in self._stacks for training in members):
            self._stack()
        return {}

    def _start(self) -> None:
        for training in self.trainings:
            training.leave_out_done()
            if not training.ended:
                with training.failures_recorded():
                    training.start()
        self._stack()
        self._started = True

    def _stack(self) -> None:
        """Stack the trainings that go on, those of each kind together."""
        kinds: dict[tuple[object, ...], list[Training]] = {}
        for training in self.trainings:
            if not training.ended:
                kinds.setdefault(kind(training.start()), []).append(training)
        self._stacks = [(members, StackedTrials([t.start() for t in members])) for members in kinds.values()]

    def load_checkpoint(self, checkpoint: str) -> None:
        super().load_checkpoint(checkpoint)
        self._started = False
