"""A sweep's log for programs, in JSON lines: <sweep>/logs/<start>-<pid>.jsonl, continued in -2.jsonl and so on."""

import json
import os
import threading
import time
from datetime import UTC, datetime
from typing import Any

from records import StorageError, SweepRecords
from records.secrets import scrub

FLUSH_EVERY = 10.0
"""Minimum number of seconds between two writes, except at the end."""
LINES = 10_000
"""Maximum number of lines of a file."""


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
        entry = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": kind, **facts}
        with self.lock:
            self.lines.append(scrub(json.dumps(entry, default=str)))
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
