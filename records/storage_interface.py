"""The interface of a storage: bytes under slash-separated names, written whole or not at all."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

READERS = 16
"""Names read at the same time: reading one is mostly waiting."""
LARGEST = 5 * 2**30
"""Most bytes that are read under a name, unless a caller sets less: S3's limit for one write."""
IDENTITY = ".identity"
"""A file with a random number that tells a storage from others, also after it was moved."""


class StorageError(Exception):
    """A storage cannot be used; the message names the location, the reason and how to fix it."""


class StorageAwayError(StorageError):
    """A storage does not answer or is full; the same request may succeed later."""


class TooLargeError(StorageError):
    """There are more bytes under a name than may be read."""


def too_large(place: str, size: int, largest: int) -> TooLargeError:
    return TooLargeError(
        f"{place} has {size / 2**20:,.0f} MiB; at most {largest / 2**20:,.0f} MiB are read: replace it by a smaller one"
    )


@dataclass(frozen=True)
class File:
    """What a storage knows of a name: its size in bytes, and when it was last written, in UTC."""

    size: int
    modified: datetime


class Storage(ABC):
    """Bytes under slash-separated names. Writes are atomic: a reader sees the old bytes or the new ones.

    Every method raises StorageError when the storage refuses, or stays unreachable for too long. `create`, `replace`
    and `delete` are for names that several processes contend for, such as a lease: concurrent calls take effect one
    after the other, so only one `create` succeeds. A plain `write` does not wait for them.
    """

    location: str

    @abstractmethod
    def read(self, name: str, largest: int = LARGEST) -> bytes | None:
        """The bytes under `name`, or None if there are none. Raises TooLargeError if they are more than `largest`."""

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """The bytes under each of `names`, in order; missing names are left out."""
        names = list(names)
        # A list for each thread: passing on names one by one takes longer than reading a small file from a disk.
        shares = [names[first::READERS] for first in range(min(READERS, len(names)))]
        with ThreadPoolExecutor(READERS) as pool:
            read = {name: data for share in pool.map(self._read_share, shares) for name, data in share}
        return {name: data for name in names if (data := read[name]) is not None}

    def _read_share(self, names: Iterable[str]) -> list[tuple[str, bytes | None]]:
        return [(name, self.read(name)) for name in names]

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Write `data` under `name`, whole or not at all."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Write `data` under `name` if nothing is there; return whether it was written."""

    def identity(self, make: bool = True) -> str:
        """What tells this storage from others, and moves with its files; empty if there is none yet, unless `make`."""
        while (data := self.read(IDENTITY, 1000)) is None and make:
            self.create(IDENTITY, uuid4().hex.encode())
        return (data or b"").decode(errors="replace")

    @abstractmethod
    def replace(self, name: str, expected: bytes, data: bytes) -> bool:
        """Write `data` under `name` if exactly `expected` is there; return whether it was written."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove `name`, which may be missing."""

    @abstractmethod
    def files(self, prefix: str) -> dict[str, File]:
        """All names that start with `prefix` (a folder name ending in a slash), sorted.

        Names whose last part starts with a dot belong to the storage and are left out.
        """

    @abstractmethod
    def times(self, name: str) -> tuple[datetime, datetime] | None:
        """When `name` was last written and what time it is now, both by the storage's own clock; None if missing."""

    def names(self, prefix: str) -> list[str]:
        """The same names alone."""
        return list(self.files(prefix))

    @abstractmethod
    def delete_many(self, names: Iterable[str]) -> None:
        """Remove each of `names`, which may be missing, and the folders that this leaves empty.

        They are removed in order, but not atomically: a process that dies in between leaves the later ones.
        """

    def clear_partial(self, prefix: str) -> None:  # noqa: B027
        """Remove what killed writers left under `prefix`. Only safe while no process writes there."""

    @abstractmethod
    def check(self) -> None:
        """Raise StorageError unless the storage can be written to."""
