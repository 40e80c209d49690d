"""An MLflow that is away when a sweep starts: asked again while trials run, and brought up to date as they finish."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import Self

from rich.console import Console

from records import StorageError, SweepRecords
from records.mirror import Experiment, MirrorError, RefusedError, mirror_trial

EVERY = 30.0
"""Seconds between two questions while trials run."""
AT_END = 5.0
"""Seconds between two questions at the end."""


class LateMirror:
    """Mirrors finished trials from the driver, in a thread that runs within a `with` block.

    For trials that do not mirror themselves: MLflow was away when they were planned, or is a file on another machine.
    """

    def __init__(
        self,
        experiment: Experiment | None,
        open_: Callable[[], Experiment | None],
        records: SweepRecords,
        finished: Sequence[str],
        console: Console,
        weights: bool = False,
    ):
        """
        Args:
            experiment: the mirror; None while MLflow is away.
            open_: ask MLflow again, in silence.
            records: the sweep's.
            finished: keys of the trials that have finished; grows.
            console: to say that MLflow answers.
            weights: also mirror the trials' weights.
        """
        self.experiment = experiment
        self._open = open_
        self._records = records
        self._finished = finished
        self._console = console
        self._weights = weights
        self._mirrored = 0
        """How many of the finished ones have a run."""
        self._over = Event()
        self._thread = Thread(target=self._follow, name="late mirror", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        if kind is None:
            self._thread.join()

    def wait(self, seconds: float) -> Experiment | None:
        """Ask for some seconds more; the mirror, or None if MLflow is still away."""
        end = time.monotonic() + seconds
        while self.experiment is None and time.monotonic() < end:
            time.sleep(AT_END)
            self.experiment = self._open()
        return self.experiment

    def _follow(self) -> None:
        while not self._over.wait(EVERY):
            try:
                if self.experiment is None:
                    self.experiment = self._open()
                    if self.experiment is None:
                        continue
                    self._console.print("MLflow answers now and is brought up to date.", style="yellow")
                self._mirror(self.experiment)
            except (MirrorError, StorageError):
                # Asked again after the next pause, and by the end of the sweep, which says what is missing.
                continue

    def _mirror(self, experiment: Experiment) -> None:
        while self._mirrored < len(self._finished) and not self._over.is_set():
            # The next load sets a damaged record aside, and the end of the sweep says what MLflow refuses.
            with suppress(ValueError, RefusedError):
                record = self._records.read(self._finished[self._mirrored])
                if record is not None and not record.get("mlflow_run_id"):
                    mirror_trial(experiment, self._records, record, weights=self._weights)
            self._mirrored += 1
