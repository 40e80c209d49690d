"""Ctrl-C: once stops cleanly, twice at once."""

import signal
from types import FrameType, TracebackType
from typing import Any, Self

from ray.tune.stopper import Stopper

from driver.errors import UserError


class Stop(Stopper):
    """Whether the sweep is to stop, asked by Tune after each epoch and by the queue before each trial.

    Within a `with` block SIGINT and SIGTERM set it: the running trials end after their epoch, unfinished ones leave
    a checkpoint. A second signal raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self.problem: str | None = None
        """What makes it pointless to go on, e.g. a full disk."""

    @property
    def requested(self) -> bool:
        return self.interrupted or self.problem is not None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self.requested

    def stop_all(self) -> bool:
        return self.requested

    def interrupt(self) -> None:
        """Stop as after Ctrl-C."""
        self.interrupted = True

    def give_up(self, problem: str) -> None:
        """Stop because of `problem`, which ends the command."""
        self.problem = self.problem or problem

    def check(self) -> None:
        """Raise what the sweep was stopped for, if it was.

        Raises:
            KeyboardInterrupt: a signal.
            UserError: a problem.
        """
        if self.problem is not None:
            raise UserError(self.problem)
        if self.interrupted:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        self.before = {s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def __getstate__(self) -> dict[str, bool]:
        # Tune stores its stopper beside its own state, which nothing here reads back.
        return {}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
