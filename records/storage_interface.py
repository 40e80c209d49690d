"""What every storage promises: bytes under slash-separated names, written whole or not at all."""

from abc import ABC, abstractmethod
from collections.abc import Iterable


class StorageError(Exception):
    """A storage that cannot be used; the message names the location, the reason and the mend."""


class Storage(ABC):
    """Bytes under slash-separated names. Writes are atomic: a reader sees the old bytes or the new ones.

    Every method raises StorageError when the storage refuses, or when it stays away for longer than it is waited for.
    `create`, `replace` and `delete` are for names that several processes contend for, such as a lease: of any
    number of them at the same time, each acts on what the one before it left. A plain `write` does not wait for
    them, so such a name is best left to these three.
    """

    location: str

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """The bytes under `name`, or None where there are none."""

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """The bytes under each of `names`, in their order; names without any are left out."""
        found = ((name, self.read(name)) for name in names)
        return {name: data for name, data in found if data is not None}

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Put `data` under `name`, whole or not at all."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Put `data` under `name` if there is nothing yet; False where there is.

        Of several that create one name at the same time, exactly one is told True.
        """

    @abstractmethod
    def replace(self, name: str, expected: bytes, data: bytes) -> bool:
        """Put `data` under `name` if exactly `expected` is there; False where something else, or nothing, is.

        Of several that replace the same bytes at the same time, exactly one is told True.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove `name`; it need not be there."""

    @abstractmethod
    def names(self, prefix: str) -> list[str]:
        """All names that start with `prefix` (a folder name ending in a slash), sorted.

        Names whose last part starts with a dot are the storage's own and are left out.
        """

    @abstractmethod
    def clear_partial(self, prefix: str) -> None:
        """Remove what writers under `prefix` left that were killed; call it when nobody else writes there."""

    @abstractmethod
    def check(self) -> None:
        """Raise StorageError unless this storage can be written to."""
