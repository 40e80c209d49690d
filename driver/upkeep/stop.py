"""Ctrl-C: stops at once if nothing can be lost, cleanly while trials run, and at once if pressed again."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from ray.tune.stopper import Stopper

from driver import StoppedError


class Stop(Stopper):
    """Whether the sweep must stop. Tune calls it at each result, before it starts a trial, and a few times a second.

    Within a `with` block SIGINT and SIGTERM raise KeyboardInterrupt. Within `gently()` the first signal only requests
    the stop: running trials end after their epoch, and unfinished ones leave a checkpoint.
    """

    def __init__(self, announce: Callable[[], object] = lambda: None) -> None:
        """
        Args:
            announce: called once trials are asked to stop after a signal.
        """
        self.interrupted = False
        self.problem: str | None = None
        """Why the sweep cannot go on, e.g. a full disk."""
        self._announce = announce
        self._announced = False
        self._gentle: Callable[[], bool] = _never

    @property
    def requested(self) -> bool:
        return self.interrupted or self.problem is not None

    @contextmanager
    def gently(self, while_: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """A block that the first signal does not end, provided that `while_` is then true."""
        # Again, as ray.init has put a handler of its own in place of this one for SIGTERM.
        self._handle_signals()
        self._gentle = while_
        try:
            yield
        finally:
            self._gentle = _never

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self.requested

    def stop_all(self) -> bool:
        # Not in the handler, which may interrupt a print.
        if self.interrupted and not self._announced:
            self._announced = True
            self._announce()
        return self.requested

    def give_up(self, problem: str) -> None:
        """Stop because of `problem`, which becomes the command's error."""
        self.problem = self.problem or problem

    def check(self) -> None:
        """Raise the reason for which the sweep was stopped, if it was.

        Raises:
            KeyboardInterrupt: after a signal.
            StoppedError: after a problem.
        """
        if self.problem is not None:
            raise StoppedError(self.problem)
        if self.interrupted:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        self.before = self._handle_signals()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def __getstate__(self) -> dict[str, bool]:
        # Tune pickles its stopper with its own state, which is never restored here.
        return {}

    def _handle_signals(self) -> dict[signal.Signals, Any]:
        """Take SIGINT and SIGTERM, and return their handlers until now."""
        return {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        first, self.interrupted = not self.interrupted, True
        if not (first and self._gentle()):
            raise KeyboardInterrupt


def _never() -> bool:
    return False
