"""Ctrl-C: the first one stops cleanly, the second at once."""

import signal
from types import FrameType
from typing import Any, Self

from ray.tune.stopper import Stopper

from driver import UserError


class Stop(Stopper):
    """Whether the sweep is to stop; Tune asks after each epoch, and before it starts a trial.

    Within a `with` block SIGINT and SIGTERM request it: running trials end after their epoch, and unfinished ones leave
    a checkpoint. A second signal raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self.problem: str | None = None
        """Why the sweep cannot go on, e.g. a full disk."""

    @property
    def requested(self) -> bool:
        return self.interrupted or self.problem is not None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self.requested

    def stop_all(self) -> bool:
        return self.requested

    def give_up(self, problem: str) -> None:
        """Stop because of `problem`, which becomes the command's error."""
        self.problem = self.problem or problem

    def check(self) -> None:
        """Raise the reason for which the sweep was stopped, if it was.

        Raises:
            KeyboardInterrupt: after a signal.
            UserError: after a problem.
        """
        if self.problem is not None:
            raise UserError(self.problem)
        if self.interrupted:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        self.before = {s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def __getstate__(self) -> dict[str, bool]:
        # Tune pickles its stopper with its own state, which is never restored here.
        return {}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
