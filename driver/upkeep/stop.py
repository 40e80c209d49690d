"""Ctrl-C: stops at once if nothing can be lost, cleanly while trials run, and at once if pressed again."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from ray.tune.stopper import Stopper

from driver import StoppedError


class Stop(Stopper):
    """Whether the sweep must stop. Tune calls it at each result, before it starts a trial, and a few times a second.

    Within a `with` block SIGINT and SIGTERM raise KeyboardInterrupt. Within `gently()` the first signal only requests
    the stop: running trials end after their epoch, and unfinished ones leave a checkpoint. `announce` is called then.
    """

    def __init__(self, announce: Callable[[], object] = lambda: None) -> None:
        self.interrupted = False
        self.problem: str | None = None
        self._announce = announce
        self._announced = False
        self._is_gentle: Callable[[], bool] = lambda: False

    @property
    def requested(self) -> bool:
        return self.interrupted or self.problem is not None

    @contextmanager
    def gently(self, while_: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """A block that the first signal does not end if `while_` is then true."""
        # Again, as ray.init has replaced the handler for SIGTERM.
        self._handle_signals()
        self._is_gentle, before = while_, self._is_gentle
        try:
            yield
        finally:
            self._is_gentle = before

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

    def end_at_once(self, problem: str) -> None:
        """Raise KeyboardInterrupt in the main thread because of `problem`, unless a signal came first."""
        if not self.interrupted:
            self.give_up(problem)
        self.interrupted = self._announced = True
        if (main := threading.main_thread().ident) is not None:
            signal.pthread_kill(main, signal.SIGINT)

    def check(self) -> None:
        """Raise StoppedError after a problem, KeyboardInterrupt after a signal."""
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
        return {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        is_first, self.interrupted = not self.interrupted, True
        if not (is_first and self._is_gentle()):
            raise KeyboardInterrupt
