"""A sweep's log: one JSON object a line, in <storage>/<sweep>/logs/<start>-<pid>.jsonl."""

import json
import os
import threading
import time
from datetime import UTC, datetime
from typing import Any

from records import StorageError, SweepRecords
from records.secrets import scrub

FLUSH_EVERY = 10.0


class SweepLog:
    """Collects events and writes them to the sweep's storage, at most every ten seconds and at the end.

    Storage has no append, so each driver's file is written whole; secrets are scrubbed. A storage that is away delays
    the log and stops nothing.
    """

    def __init__(self, records: SweepRecords):
        self.storage = records.storage
        started = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self.name = f"{records.name}/logs/{started}-{os.getpid()}.jsonl"
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
        """Write what was logged so far."""
        with self.lock:
            data = "".join(f"{line}\n" for line in self.lines).encode()
            self.flushed_at = time.monotonic()
        try:
            self.storage.write(self.name, data)
        except StorageError:
            # The next flush writes these lines too.
            return
