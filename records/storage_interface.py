"""The interface of a storage: bytes under slash-separated names, written whole or not at all."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


class StorageError(Exception):
    """A storage cannot be used; the message names the location, the reason and how to fix it."""


class StorageAwayError(StorageError):
    """A storage does not answer or is full; the same request may succeed later."""


@dataclass(frozen=True)
class File:
    """What a storage knows of a name."""

    size: int
    """In bytes."""
    modified: datetime
    """When it was last written, in UTC."""


class Storage(ABC):
    """Bytes under slash-separated names. Writes are atomic: a reader sees the old bytes or the new ones.

    Every method raises StorageError when the storage refuses, or stays unreachable for too long. `create`, `replace`
    and `delete` are for names that several processes contend for, such as a lease: concurrent calls take effect one
    after the other. A plain `write` does not wait for them, so use only these three for such a name.
    """

    location: str

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """The bytes under `name`, or None if there are none."""

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """The bytes under each of `names`, in order; missing names are left out."""
        contents = ((name, self.read(name)) for name in names)
        return {name: data for name, data in contents if data is not None}

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Write `data` under `name`, whole or not at all."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Write `data` under `name` if nothing is there; whether it was written.

        Of several concurrent calls for one name exactly one returns True.
        """

    @abstractmethod
    def replace(self, name: str, expected: bytes, data: bytes) -> bool:
        """Write `data` under `name` if exactly `expected` is there; whether it was written.

        Of several concurrent calls that expect the same bytes exactly one returns True.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove `name`, which may be missing."""

    @abstractmethod
    def names(self, prefix: str) -> list[str]:
        """All names that start with `prefix` (a folder name ending in a slash), sorted.

        Names whose last part starts with a dot belong to the storage and are left out.
        """

    @abstractmethod
    def files(self, prefix: str) -> dict[str, File]:
        """The names that start with `prefix`, as from `names`, with sizes and times."""

    @abstractmethod
    def delete_many(self, names: Iterable[str]) -> None:
        """Remove each of `names`, which may be missing, and the folders that this leaves empty.

        In their order, but not as one: a process that dies in between leaves the later ones.
        """

    @abstractmethod
    def clear_partial(self, prefix: str) -> None:
        """Remove what killed writers left under `prefix`, partial files and empty folders.

        Only safe while nobody writes there.
        """

    @abstractmethod
    def check(self) -> None:
        """Raise StorageError unless the storage can be written to."""
