"""The one writer to MLflow: threads of the driver that mirror finished trials while others run."""

import time
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Self

from rich.console import Console
from rich.progress import Progress

from analysis.numbers import count
from driver.terminal import say
from records import SweepRecords
from records.database import database_file
from records.fence import LostError
from records.mirror import (
    Experiment,
    MirrorError,
    RefusedError,
    mark_running,
    mirror_trial,
    mirror_weights,
    mirrored_runs,
    sweep_is_mirrored,
)
from records.store import Record

THREADS = 8
"""Threads for a server; SQLite has one writer at a time."""
EVERY, AT_END = 30.0, 5.0
"""Seconds before an unreachable MLflow is tried again, while trials run and at the end of a sweep."""

Item = tuple[str, str | None]
"""A trial key, and the run that the trial's record names."""


class Mirror:
    """Mirrors records while the `with` block runs; only `finish` waits for it.

    A trial has one run, whenever a driver or server is killed or suspended: the sweep's lease allows one driver, each
    trial belongs to one thread, and the trials that MLflow already has are read before the first one is mirrored. A
    driver that has lost its lease mirrors nothing more.
    """

    def __init__(
        self,
        open_: Callable[[Console], Experiment | None],
        records: SweepRecords,
        existing: Iterable[Record],
        console: Console,
        weights: bool = False,
        rest: float = 0.0,
        took_over: bool = False,
    ):
        """Open the experiment and queue the `existing` records except failed ones, whose trials may run again.

        A thread rests `rest` seconds after each second of processor time until `finish`: on the machine that also
        trains, a backlog is better than slower trials. `took_over` says that another driver has not released the
        sweep. It may only be suspended, so `finish` looks again for second runs, as after an error of MLflow.
        """
        self._open = open_
        self._rest = rest
        self._doubtful = took_over
        """Whether a run may have been made that is not in `_runs`."""
        existing = list(existing)
        self._named = {record.get("mlflow_run_id") for record in existing}
        self._records = records
        self._console = console
        self._weights = weights
        self.experiment = open_(console)
        self.changed = False
        """Whether a run was written."""
        self._runs: dict[str, str] | None = None
        """MLflow's runs by trial key; None until they are read."""
        self._refused: list[RefusedError] = []
        self._problem = "" if self.experiment is None else None
        """Why MLflow cannot be reached; empty if `open_` has printed it, None if MLflow can be reached."""
        self._problem_since = time.monotonic()
        self._lock = Lock()
        self._ending, self._over = Event(), Event()
        local = self.experiment is not None and database_file(self.experiment.tracking_uri) is not None
        self._queues: Sequence[SimpleQueue[Item | None]] = [SimpleQueue() for _ in range(1 if local else THREADS)]
        self._added: set[str] = set()
        self._mirrored: set[str] = set()
        self._waiting = 0
        self._add_missing(record for record in existing if record["status"] != "failed")

    def __enter__(self) -> Self:
        for queue in self._queues:
            Thread(target=self._work, args=[queue], name="mirror", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for queue in self._queues:
            queue.put(None)

    def add(self, trial_key: str, run_id: str | None = None) -> None:
        """Queue a trial whose record is written and may name a run, perhaps in another MLflow."""
        with self._lock:
            self._waiting += 1
        self._added.add(trial_key)
        self._queues[hash(trial_key) % len(self._queues)].put((trial_key, run_id))

    def _add_missing(self, records: Iterable[Record]) -> None:
        for record in records:
            if record["trial_key"] not in self._added:
                self.add(record["trial_key"], record.get("mlflow_run_id"))

    def finish(self, existing: Sequence[Record], patience: float) -> bool:
        """Wait until all records have a run, and note the runs in `existing`; return whether MLflow was behind.

        An unreachable MLflow is given up after `patience` seconds.
        """
        self._add_missing(existing)
        self._ending.set()
        started = time.monotonic()
        with Progress(console=self._console, transient=True) as bar:
            behind = self._waiting
            task = bar.add_task("Bringing MLflow up to date", total=behind)
            while self._waiting:
                if self._problem is not None and time.monotonic() - max(started, self._problem_since) > patience:
                    break
                bar.update(task, completed=behind - self._waiting)
                time.sleep(0.05)
        self._over.set()
        if self._problem:
            say(self._console, f"{self._problem}; the next run or --sync brings MLflow up to date", "yellow")
        if self._refused:
            say(self._console, f"{count(len(self._refused), 'trial')} not mirrored: {self._refused[0]}", "yellow")
        if self._runs is not None:
            for record in existing:
                key = record["trial_key"]
                record["mlflow_run_id"] = self._runs[key] if key in self._mirrored else None
        try:
            if self._doubtful and self.changed and self.experiment is not None and self._runs is not None:
                mirrored_runs(self.experiment, {*self._runs.values()})
            return self.experiment is not None and (self.changed or not sweep_is_mirrored(self.experiment))
        except MirrorError:
            return True

    def add_weights(self) -> None:
        """Log the weights that are kept and missing from MLflow. Prints a warning if MLflow cannot be reached."""
        if self.experiment is None or self._runs is None:
            return
        try:
            mirror_weights(self.experiment, self._records, self._runs, sorted(self._records.with_weights()))
        except MirrorError as error:
            say(self._console, f"{error}; --sync brings the weights there", "yellow")

    def _work(self, queue: "SimpleQueue[Item | None]") -> None:
        while (item := queue.get()) is not None:
            again = False
            while not self._over.is_set():
                started = time.thread_time()
                try:
                    self._mirror(*item, again=again)
                    self._ending.wait(self._rest * (time.thread_time() - started))
                    break
                except LostError:
                    self._over.set()
                    break
                except Exception as error:
                    # Any error is printed and tried again: a thread that ended would leave `finish` waiting for ever.
                    self._note_problem(error)
                # A request that failed may have made a run, or make it yet.
                again = self._doubtful = True
                if not self._ending.is_set():
                    self._ending.wait(EVERY)
                else:
                    self._over.wait(AT_END)
            with self._lock:
                self._waiting -= 1

    def _mirror(self, key: str, run_id: str | None, again: bool) -> None:
        """Mirror a trial unless MLflow has the run that its record names."""
        experiment, runs = self._connected()
        if run_id is None or runs.get(key) != run_id:
            try:
                record = self._records.read(key)
            except ValueError:
                # The next load sets a damaged record aside.
                return
            if record is None:
                return
            with self._lock:
                if not self.changed:
                    mark_running(experiment)
                    self.changed = True
            try:
                runs[key] = mirror_trial(experiment, self._records, record, None if again else runs, self._weights)
            except RefusedError as error:
                self._refused.append(error)
                return
            with self._lock:
                self._note_success()
        self._mirrored.add(key)

    def _connected(self) -> tuple[Experiment, dict[str, str]]:
        """The experiment and its runs by trial key, opened and read the first time."""
        with self._lock:
            if self.experiment is None:
                self.experiment = self._open(Console(quiet=True))
                if self.experiment is None:
                    raise MirrorError(self._problem or "")
            if self._runs is None:
                self._runs = mirrored_runs(self.experiment, self._named)
                self._note_success()
            return self.experiment, self._runs

    def _note_success(self) -> None:
        if self._problem is not None:
            self._problem = None
            say(self._console, "MLflow answers now and is brought up to date.", "yellow")

    def _note_problem(self, error: Exception) -> None:
        """Print the first of several problems in a row."""
        with self._lock:
            if self._problem is None:
                self._problem_since = time.monotonic()
                say(self._console, f"{error}; trials continue, and MLflow is brought up to date later", "yellow")
            self._problem = str(error)
