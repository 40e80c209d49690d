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
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

import psutil
from pydantic import BaseModel, Field, ValidationError

from driver import StoppedError
from records import StorageError, SweepRecords
from records.fence import LostError, fenced
from records.parsing import first_problem, parse_json

SECONDS = 60.0
"""A lease expires when it has not been renewed for this long."""
RENEW_EVERY = 10.0
SKEW = 5.0
"""Seconds by which a clock may differ from the storage's before a message says so."""
Seconds = Annotated[float, Field(ge=0, le=1e12)]


class Holder(BaseModel, strict=True, allow_inf_nan=False):
    """The content of a lease: the driver that holds it, and its progress for --status."""

    holder: str
    host: str
    pid: Annotated[int, Field(gt=0, lt=2**31)]
    process_started: Seconds
    renewed_at: Seconds
    """By the holder's own clock."""
    token: str = ""
    running: Annotated[int, Field(ge=0)] = 0
    trials_a_minute: Seconds | None = None
    seconds_left: Seconds | None = None
    written: float = 0.0
    """When the file was written, and the time at which it was read, by the storage's clock, which all drivers share."""
    now: float = 0.0

    @property
    def expired(self) -> bool:
        """Whether the lease is not renewed any more. A lease from the future was written before a clock was set."""
        if abs(self.now - self.written) > SECONDS:
            return True
        if self.host != _host():
            return False
        try:
            return abs(psutil.Process(self.pid).create_time() - self.process_started) > 1
        except psutil.NoSuchProcess:
            return True

    @property
    def seen(self) -> str:
        """How long ago the lease was renewed."""
        return f"{max(0.0, self.now - self.written):.0f} s ago"

    @property
    def skewed(self) -> str | None:
        """The difference between the clocks of the holder and the storage, if it is large."""
        skew = round(self.renewed_at - self.written)
        direction = "ahead of" if skew > 0 else "behind"
        return f"{timedelta(seconds=abs(skew))} {direction} the storage's" if abs(skew) > SKEW else None


class Lease:
    """Held while a driver works on a sweep; any other driver stops with a message that names the holder.

    The file also holds the progress for `--status`. A lease of this host whose process has ended expires at once. A
    driver that was suspended, with its machine or alone, may have lost its lease without noticing: it writes through
    `fence`, which checks this before each write.
    """

    def __init__(
        self,
        records: SweepRecords,
        status: Callable[[], dict[str, Any]],
        lost: Callable[[str], None],
        patience: float = 0.0,
    ):
        """Renewals write the result of `status` into the lease, and call `lost` if another driver took it over.

        `patience` is the number of seconds to wait for a lease that is not renewed, e.g. of a lost driver.
        """
        self.records = records
        self.storage = records.storage
        self.name = f"{records.name}/lease.json"
        self.sweep = records.name
        self.status = status
        self.lost = lost
        self.patience = patience
        self.token = uuid.uuid4().hex
        self.took_over = False
        """Whether another driver has not released the lease: it was killed, or may go on after a suspension."""
        self.notes: list[str] = []
        """A damaged lease that was set aside, and a wrong clock."""
        self.written = b""
        self.renewed = 0.0
        self.problem: str | None = None
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._keep_renewing, name="lease", daemon=True)

    def __enter__(self) -> Self:
        """Take the lease. Raises StoppedError if another driver holds it."""
        self.renewed, data = _elapsed(), self._content()
        if not self.storage.create(self.name, data):
            old = self._read_patiently()
            try:
                holder = _parse(self.records, old)
            except ValueError as error:
                holder = None
                self.storage.write(aside := f"{self.sweep}/set_aside/lease.json", old)
                self.notes.append(f"set aside {aside}: {error}")
            if holder is not None and not holder.expired:
                wrong = f". Its clock is {holder.skewed}" if holder.skewed else ""
                raise StoppedError(
                    f"sweep {self.sweep!r} is being run by {holder.holder}, last seen {holder.seen}; wait for it, stop "
                    "it, or start another sweep with --name or --fresh. The lease expires "
                    f"{SECONDS:.0f} s after the holder was last seen{wrong}"
                )
            self.took_over = True
            self.renewed, data = _elapsed(), self._content()
            if not self.storage.replace(self.name, old, data):
                raise StoppedError(f"sweep {self.sweep!r} was just taken by another driver; try again later")
        self.written = data
        if (mine := _parse(self.records, data)) is not None and mine.skewed:
            self.notes.append(f"This machine's clock is {mine.skewed}")
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()
        # If the storage cannot be reached, the lease expires.
        with suppress(StorageError):
            self.check()
            if self.storage.read(self.name) == self.written:
                self.storage.delete(self.name)

    def check(self) -> None:
        """Raise LostError if another driver has taken the sweep over; asks the storage only after a suspension."""
        with self.lock:
            if self.problem is not None:
                raise LostError(self.problem)
            if _elapsed() - self.renewed > SECONDS / 2:
                self._renew()

    def fence(self) -> SweepRecords:
        """The sweep's records, which only the holder of the lease can write."""
        return SweepRecords(fenced(self.storage, self.check), self.sweep)

    def _read_patiently(self) -> bytes:
        """The lease file once its holder has renewed it, it has expired, or patience has run out."""
        first = self.storage.read(self.name) or b""
        until = time.monotonic() + self.patience
        while time.monotonic() < until and (holder := read_lease(self.records)) is not None and not holder.expired:
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

    def _keep_renewing(self) -> None:
        while not self.ended.wait(RENEW_EVERY):
            try:
                with self.lock:
                    self._renew()
            except LostError:
                return
            except StorageError:
                # Trials notice it themselves, and the lease outlasts some renewals.
                continue

    def _renew(self) -> None:
        """Renew the lease. Raises LostError if another driver has it, StorageError if the storage cannot tell."""
        started, data = _elapsed(), self._content()
        while not self.storage.replace(self.name, self.written, data):
            # A renewal may have succeeded although its answer was lost.
            current = self.storage.read(self.name) or b""
            try:
                holder = _holder(current)
            except ValueError:
                by = "another driver"
            else:
                if holder.token == self.token:
                    self.written = current
                    continue
                by = holder.holder
            silent = f"this driver was silent for {started - self.renewed:.0f} s"
            self.problem = f"sweep {self.sweep!r} was taken over by {by}: {silent}"
            self.lost(self.problem)
            raise LostError(self.problem)
        self.written, self.renewed = data, started


def user() -> str:
    """The user's name, or number if the system has no name, as in a container started with `-u`."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def read_lease(records: SweepRecords) -> Holder | None:
    """The holder of the sweep's lease; None if there is none or the file is damaged, so that anyone may take it."""
    try:
        return _parse(records, records.storage.read(f"{records.name}/lease.json") or b"")
    except ValueError:
        return None


def _parse(records: SweepRecords, data: bytes) -> Holder | None:
    """The lease in `data`, read just now; None if the file is gone. Raises ValueError for a damaged one."""
    if (times := records.storage.times(f"{records.name}/lease.json")) is None:
        return None
    written, now = times
    return _holder(data).model_copy(update={"written": written.timestamp(), "now": now.timestamp()})


def _holder(data: bytes) -> Holder:
    """The lease as JSON. Raises ValueError, with the entry that is wrong."""
    try:
        return Holder.model_validate(parse_json(data))
    except ValidationError as error:
        entry, value, message = first_problem(error)
        raise ValueError(f"bad {entry}{value}: {message}" if entry else "a lease is a JSON object") from None
    except ValueError as error:
        raise ValueError(f"not a JSON lease ({len(data)} bytes): {error}") from None


def _elapsed() -> float:
    """Seconds that also pass while the machine is suspended, unlike those of time.monotonic on Linux."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@cache
def _host() -> str:
    """The host's name, start and, on Linux, process namespace, since each container numbers processes anew."""
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()}, started {started}, {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{platform.node()}, started {psutil.boot_time():.0f}"
