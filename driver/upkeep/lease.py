"""One driver per sweep: a lease in the storage that expires, so that a dead driver never blocks the sweep."""

import getpass
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Self

import psutil

from driver import StoppedError
from records import StorageError, SweepRecords

SECONDS = 60.0
"""A lease expires when it has not been renewed for this long."""
RENEW_EVERY = 10.0
Facts = dict[str, Any]
NEEDED = {"holder", "host", "pid", "process_started", "renewed_at"}


class Lease:
    """Held while a driver works on a sweep; any other driver stops with a message that names the holder.

    The file also holds the progress for `--status`. A lease of this host whose process has ended expires at once.
    """

    def __init__(
        self, records: SweepRecords, status: Callable[[], Facts], lost: Callable[[str], None], patience: float = 0.0
    ):
        """Renewals write the result of `status` into the lease, and call `lost` if another driver took it over.

        `patience` is the number of seconds to wait for a lease that is not renewed, e.g. of a lost driver.
        """
        self.storage = records.storage
        self.name = f"{records.name}/lease.json"
        self.sweep = records.name
        self.status = status
        self.lost = lost
        self.patience = patience
        self.token = uuid.uuid4().hex
        self.written = b""
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> Self:
        """Take the lease. Raises StoppedError if another driver holds it."""
        data = self._content()
        if not self.storage.create(self.name, data):
            old = self._read_patiently()
            holder = _parse(old)
            if holder is not None and not expired(holder):
                raise StoppedError(
                    f"sweep {self.sweep!r} is being run by {holder['holder']}, last seen "
                    f"{max(0.0, time.time() - holder['renewed_at']):.0f} s ago; wait for it, stop it, or start another "
                    f"sweep with --name or --fresh. The lease expires {SECONDS:.0f} s after the holder was last seen"
                )
            if not self.storage.replace(self.name, old, data):
                raise StoppedError(f"sweep {self.sweep!r} was just taken by another driver; try again later")
        self.written = data
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()
        # If the storage cannot be reached, the lease expires.
        with suppress(StorageError):
            if self.storage.read(self.name) == self.written:
                self.storage.delete(self.name)

    def _read_patiently(self) -> bytes:
        """The lease file once its holder has renewed it, it has expired, or patience has run out."""
        first = self.storage.read(self.name) or b""
        until = time.monotonic() + self.patience
        while time.monotonic() < until and not expired(_parse(first)):
            time.sleep(min(1.0, self.patience))
            if (renewed := self.storage.read(self.name) or b"") != first:
                return renewed
        return first

    def _content(self) -> bytes:
        process = psutil.Process()
        content = {
            "holder": f"{user()} on {platform.node()}, process {process.pid}",
            "host": _host(),
            "pid": process.pid,
            "process_started": process.create_time(),
            "token": self.token,
            "renewed_at": time.time(),
        }
        # The lease must be renewed even if the progress cannot be computed.
        with suppress(Exception):
            content |= self.status()
        return json.dumps(content, indent=1).encode()

    def _renew(self) -> None:
        while not self.ended.wait(RENEW_EVERY):
            data = self._content()
            # If the storage cannot be reached, trials notice it themselves, and the lease outlasts some renewals.
            with suppress(StorageError):
                if self.storage.replace(self.name, self.written, data):
                    self.written = data
                    continue
                # The renewal may have succeeded although its answer was lost.
                current = self.storage.read(self.name)
                holder = _parse(current) or {}
                if holder.get("token") != self.token:
                    other = f"was taken over by {holder.get('holder', 'another driver')}"
                    self.lost(f"sweep {self.sweep!r} {other}: this driver was silent for {SECONDS:.0f} s")
                    return
                self.written = current or b""


def user() -> str:
    """The user's name, or number if the system has no name, as in a container started with `-u`."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def read_lease(records: SweepRecords) -> Facts | None:
    """The content of the sweep's lease; None for a missing or foreign file."""
    return _parse(records.storage.read(f"{records.name}/lease.json"))


def _parse(data: bytes | None) -> Facts | None:
    try:
        lease = json.loads(data or b"null")
    except ValueError:
        return None
    return lease if isinstance(lease, dict) and lease.keys() >= NEEDED else None


def expired(lease: Facts | None) -> bool:
    """Whether the lease is missing or has expired."""
    if lease is None or time.time() - lease["renewed_at"] > SECONDS:
        return True
    if lease["host"] != _host():
        return False
    try:
        return abs(psutil.Process(lease["pid"]).create_time() - lease["process_started"]) > 1
    except psutil.NoSuchProcess:
        return True


@cache
def _host() -> str:
    """The host's name, start and, on Linux, process namespace, since each container numbers processes anew."""
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()}, started {started}, {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{platform.node()}, started {psutil.boot_time():.0f}"
