"""One driver a sweep: a lease in the storage that expires, so that a dead driver never blocks."""

import getpass
import json
import platform
import threading
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import psutil

from driver.errors import UserError
from records import StorageError, SweepRecords

SECONDS = 60.0
"""A lease that has not been renewed for so long has expired."""
RENEW_EVERY = 10.0


class Lease:
    """Held while a driver works on a sweep; other drivers are told who holds it and stop.

    The file <sweep>/lease.json also says how far the sweep is, so that it can be seen from outside. A lease whose
    process is gone from this very host counts as expired at once.
    """

    def __init__(
        self,
        records: SweepRecords,
        status: Callable[[], dict[str, Any]],
        lost: Callable[[str], None],
        patience: float = 0.0,
    ):
        """
        Args:
            records: of the sweep.
            status: called at each renewal; what it returns is written into the lease.
            lost: called once, with what to tell people, if another driver took the lease over, which means that
                this one was stalled for too long.
            patience: seconds to wait for a lease that is not renewed meanwhile; for a driver that is started again,
                elsewhere, when the one before was lost.
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
        """Take the lease.

        Raises:
            UserError: another driver holds it.
        """
        data = self._content()
        if not self.storage.create(self.name, data):
            old = self._silent_or_alive()
            holder = read_lease(old)
            if holder is not None and not expired(holder):
                raise UserError(
                    f"sweep {self.sweep!r} is being run by {holder['holder']}, which said so {_ago(holder)} ago; wait "
                    "for it, stop it, or start another sweep with --name or --fresh. Once it is silent for "
                    f"{SECONDS:.0f} s the sweep is free"
                )
            if not self.storage.replace(self.name, old, data):
                raise UserError(f"sweep {self.sweep!r} was taken up by another driver just now; try again later")
        self.written = data
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self.thread.join()
        try:
            if self.storage.read(self.name) == self.written:
                self.storage.delete(self.name)
        except StorageError:
            # Whoever comes next finds a lease that expires.
            pass

    def _silent_or_alive(self) -> bytes:
        """What the lease file says once its holder has renewed it, it has expired, or patience has ended."""
        first = self.storage.read(self.name) or b""
        until = time.monotonic() + self.patience
        while time.monotonic() < until and not expired(read_lease(first)):
            time.sleep(min(1.0, self.patience))
            if (found := self.storage.read(self.name) or b"") != first:
                return found
        return first

    def _content(self) -> bytes:
        process = psutil.Process()
        content = {
            "holder": f"{getpass.getuser()} on {platform.node()}, process {process.pid}",
            "host": platform.node(),
            "pid": process.pid,
            "process_started": process.create_time(),
            "token": self.token,
            "renewed_at": time.time(),
            **self.status(),
        }
        return json.dumps(content, indent=1).encode()

    def _renew(self) -> None:
        while not self.ended.wait(RENEW_EVERY):
            data = self._content()
            try:
                if self.storage.replace(self.name, self.written, data):
                    self.written = data
                    continue
                # A renewal whose answer was lost is there all the same.
                found = self.storage.read(self.name)
            except StorageError:
                # The storage is away: the trials find out by themselves, and the lease lasts some renewals longer.
                continue
            holder = read_lease(found) or {}
            if holder.get("token") != self.token:
                other = holder.get("holder", "another driver")
                self.lost(f"sweep {self.sweep!r} was taken over by {other}: this one was silent for {SECONDS:.0f} s")
                return
            self.written = found or b""


def read_lease(data: bytes | None) -> dict[str, Any] | None:
    """What a lease file says; None where there is none or it is no lease."""
    try:
        lease = json.loads(data or b"null")
    except ValueError:
        return None
    if not isinstance(lease, dict) or not {"holder", "host", "pid", "process_started", "renewed_at"} <= lease.keys():
        return None
    return lease


def expired(lease: dict[str, Any] | None) -> bool:
    """Whether nobody holds this lease any more. An unreadable one is held by nobody."""
    if lease is None or time.time() - lease["renewed_at"] > SECONDS:
        return True
    if lease["host"] != platform.node():
        return False
    try:
        return abs(psutil.Process(lease["pid"]).create_time() - lease["process_started"]) > 1
    except psutil.NoSuchProcess:
        return True


def _ago(lease: dict[str, Any]) -> str:
    return f"{max(0.0, time.time() - lease['renewed_at']):.0f} s"
