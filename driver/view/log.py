"""Progress for programs: metrics for Prometheus, and a log, <sweep>/logs/<start>-<pid>.jsonl, continued in -2.jsonl."""

import json
import os
import threading
import time
from datetime import UTC, datetime
from typing import Any

from ray.util.metrics import Gauge

from driver.view.progress import Progress
from records import StorageError, SweepRecords
from records.secrets import scrub

FLUSH_EVERY, LINES = 10.0, 10_000
"""Minimum number of seconds between two writes, except at the end; maximum number of lines of a file."""


class SweepLog:
    """Collects events, without secrets, and writes them to the sweep's storage or, if it is unreachable, later.

    Storage cannot append, so a file is rewritten each time and kept short.
    """

    def __init__(self, records: SweepRecords):
        self.storage = records.storage
        self.stem = f"{records.name}/logs/{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}"
        self.number = 1
        self.lines: list[str] = []
        self.flushed_at = time.monotonic()
        self.lock = threading.Lock()

    def event(self, kind: str, **facts: Any) -> None:
        """Log one event, e.g. event("trial", trial_key=…, status="completed")."""
        # JSON would change how a secret is written.
        clean = {name: scrub(fact) if isinstance(fact, str) else fact for name, fact in facts.items()}
        entry = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": kind, **clean}
        with self.lock:
            self.lines.append(json.dumps(entry, default=str))
        if time.monotonic() - self.flushed_at >= FLUSH_EVERY:
            self.flush()

    def flush(self) -> None:
        with self.lock:
            name = self.stem if self.number == 1 else f"{self.stem}-{self.number}"
            self.flushed_at = time.monotonic()
            try:
                self.storage.write(f"{name}.jsonl", "".join(f"{line}\n" for line in self.lines).encode())
            except StorageError:
                return
            if len(self.lines) >= LINES:
                self.lines, self.number = [], self.number + 1


TRIALS = "saliency_sweep_trials"
RATE = "saliency_sweep_trials_per_minute"
TIME_LEFT = "saliency_sweep_seconds_left"
STATES = ("completed", "failed", "diverged", "running", "waiting")


class SweepMetrics:
    """Gauges of one sweep, labelled with its name. Ray adds the prefix `ray_`; see k8s/monitoring/."""

    def __init__(self, sweep: str):
        self.sweep = {"sweep": sweep}
        self.trials = Gauge(TRIALS, "Trials of the sweep by state", ("sweep", "state"))
        self.rate = Gauge(RATE, "Trials finished per minute", ("sweep",))
        self.time_left = Gauge(TIME_LEFT, "Seconds until the sweep is done at this rate", ("sweep",))

    def update(self, progress: Progress) -> None:
        facts, counts = progress.facts(), progress.counts
        bad = {status: counts[status] for status in ("failed", "diverged")}
        numbers = {"completed": facts["done"] - progress.bad, **bad, **facts}
        for state in STATES:
            self.trials.set(numbers[state], {**self.sweep, "state": state})
        for gauge, value in ((self.rate, facts["trials_a_minute"]), (self.time_left, facts["seconds_left"])):
            if value is not None:
                gauge.set(value, self.sweep)
