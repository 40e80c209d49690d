"""Bytes of a user's files, on disk or in S3. Each file is fetched and hashed once."""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from posixpath import basename, dirname, normpath
from stat import S_ISDIR, S_ISREG
from tempfile import TemporaryDirectory
from typing import Annotated
from unicodedata import normalize
from urllib.parse import urlsplit

import platformdirs
from pydantic import AfterValidator

from records.storage import FolderStorage, S3Storage, StorageError
from trainables.core.errors import ConfigurationError

S3 = "s3://"
LARGEST = 2**28
"""Most bytes of a file, and of a decoded image: a file of a few megabytes can decompress to gigabytes."""
_temporary = cache(TemporaryDirectory)
composed = partial(normalize, "NFC")
"""A name with a letter and its accent as one character."""
S3_SECONDS = 20.0
"""How long to retry while the server is unreachable."""
SETTLED_SECONDS = 2.0
"""A younger file may change again without a new time stamp, so its digest is not cached."""


def cache_folder(kind: str) -> Path:
    """The cache folder for one kind of files; if it is not writable, a temporary folder of this process."""
    folder = Path(platformdirs.user_cache_dir("saliency-sweep")) / "datasets" / kind
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    folder = Path(_temporary(prefix="saliency-sweep-").name) / kind
    folder.mkdir(exist_ok=True)
    return folder


def _write_cached(path: Path, data: bytes) -> None:
    """Write a file of the cache; a full disk is no error."""
    with suppress(StorageError):
        FolderStorage(path.parent).write(path.name, data)


def absolute(place: str) -> str:
    """`place` as an absolute path, valid in every process; s3://… only loses a trailing slash."""
    return place.rstrip("/") if place.startswith(S3) else os.path.abspath(os.path.expanduser(place))


Root = Annotated[str, AfterValidator(lambda place: absolute(place) if place else "")]
"""The option `root`, a folder."""


def check_unchanged(present: str, planned: str, location: str) -> None:
    """Check that the data still have the content that the trial was planned with; "" if it is not planned yet."""
    if planned not in ("", present):
        raise ConfigurationError(
            f"the data at {location} are not those that the trial was planned with (content {planned}); give the same "
            "command again to plan with the present ones"
        )


def join(folder: str, name: str) -> str:
    """The location of `name` in `folder`; absolute paths and s3://… are returned as they are."""
    if name.startswith((S3, "/")):
        return name
    if folder.startswith(S3):
        return S3 + normpath(f"{folder.removeprefix(S3)}/{name}")
    return os.path.normpath(os.path.join(folder, name))


def parent(location: str) -> str:
    """The folder of a location."""
    return S3 + dirname(location.removeprefix(S3)) if location.startswith(S3) else dirname(location)


def refusal(table: str, name: str) -> str | None:
    """Why a table must not name this file; None if it may. The author of a table in S3 may be a stranger."""
    if "\0" in name:
        return f"{name!r} has a NUL byte; correct the file's name"
    if not table.startswith(S3) or name.startswith(S3):
        return None
    if name.startswith(("/", "~")):
        return f"{name} is a path of this machine, and the table is in S3; write a path from the table, or s3://…"
    bucket = urlsplit(table).netloc
    if normpath(f"{parent(table).removeprefix(S3)}/{name}").split("/")[0] != bucket:
        return f"{name} leads out of the table's bucket {bucket}; write a path within it, or s3://…"
    return None


class Files:
    """Files by location: an absolute path, or s3://bucket/key. Thread-safe. Errors are ConfigurationErrors.

    Each folder is listed once. Digests are cached under a file's size, inode and change time (ctime, which no program
    can set back), or an object's entity tag, those of one `place` together; objects from S3 under their entity tag.
    """

    def __init__(self, place: str, largest: int = LARGEST):
        """`largest`: most bytes of a file."""
        self._largest = largest
        self._stamps, self._spellings = cache(_stamps), cache(self._by_spelling)
        self._digest_file = cache_folder("digests") / f"{hashlib.sha256(place.encode()).hexdigest()[:32]}.json"
        self._digests: dict[str, list[str]] = {}
        with suppress(OSError, ValueError):
            self._digests = json.loads(self._digest_file.read_bytes())
        self._has_new_digests = False

    def names(self, folder: str) -> set[str]:
        """Names of the files directly in `folder`, without those that macOS adds (._x); empty if it does not exist."""
        return {name for name in self._stamps(folder) if not name.startswith("._")}

    def find(self, location: str) -> str | None:
        """The location of an existing file with this name, an umlaut being one character or two (macOS), or None."""
        folder, name = parent(location), basename(location)
        if name in self._stamps(folder):
            return location
        alike = self._spellings(folder).get(composed(name).rpartition(".")[0], {}).values()
        return next((join(folder, present) for present in alike if composed(present) == composed(name)), None)

    def of_stem(self, folder: str, stem: str, suffixes: Sequence[str]) -> str | None:
        """The location of `stem` in `folder` with the first of these suffixes that exists; case does not matter."""
        spellings = self._spellings(folder)
        names = spellings.get(stem) or spellings.get(composed(stem), {})
        return next((join(folder, names[suffix]) for suffix in suffixes if suffix in names), None)

    def _by_spelling(self, folder: str) -> dict[str, dict[str, str]]:
        """Names by stem, as it is and composed, and by suffix in lower case."""
        spellings: dict[str, dict[str, str]] = {}
        for spelling in (str, composed):
            for name in sorted(self.names(folder)):
                stem, dot, suffix = spelling(name).rpartition(".")
                spellings.setdefault(stem, {}).setdefault(f"{dot}{suffix}".lower(), name)
        return spellings

    def read(self, location: str) -> bytes:
        try:
            return self._object(location) if location.startswith(S3) else _regular(location, self._largest)
        except FileNotFoundError:
            raise _missing(location) from None
        except IsADirectoryError:
            raise ConfigurationError(f"{location} is a folder; name a file in it, or write folder:{location}") from None
        except OSError as error:
            raise ConfigurationError(f"{location} cannot be read: {error.strerror}; fix its permissions") from None

    def digest(self, location: str) -> str:
        """SHA-256 of a file's bytes, in hex."""
        stamp = self._stamp(location)
        cached_stamp, cached_digest = self._digests.get(location, ("", ""))
        if cached_stamp == stamp:
            return cached_digest
        digest = hashlib.sha256(self.read(location)).hexdigest()
        if location.startswith(S3) or time.time() - int(stamp.split()[1]) / 1e9 > SETTLED_SECONDS:
            self._digests[location] = [stamp, digest]
            self._has_new_digests = True
        return digest

    def keep_digests(self) -> None:
        """Cache the digests computed so far for the next process."""
        if self._has_new_digests:
            _write_cached(self._digest_file, json.dumps(self._digests).encode())
            self._has_new_digests = False

    def _stamp(self, location: str) -> str:
        if stamp := self._stamps(parent(location)).get(basename(location)):
            return stamp
        raise _missing(location)

    def _object(self, location: str) -> bytes:
        cached = cache_folder("objects") / hashlib.sha256(f"{location} {self._stamp(location)}".encode()).hexdigest()
        with suppress(FileNotFoundError):
            return cached.read_bytes()
        with _storage(parent(location)) as storage:
            data = storage.read(basename(location), self._largest)
        if data is None:
            raise _missing(location)
        _write_cached(cached, data)
        return data


def _regular(location: str, largest: int) -> bytes:
    """The bytes of a regular file; devices, pipes and the files of /proc may never end, or block."""
    stat = os.stat(location)
    if S_ISDIR(stat.st_mode):
        raise IsADirectoryError(location)
    if stat.st_size > largest:
        raise ConfigurationError(
            f"{location} has {stat.st_size / 2**20:,.0f} MiB; at most {largest / 2**20:,.0f} MiB are read: make it "
            "smaller"
        )
    data = b""
    if is_file := S_ISREG(stat.st_mode):
        with open(location, "rb") as file:
            data = file.read(stat.st_size + 1)
    if not is_file or len(data) > stat.st_size:
        raise ConfigurationError(f"{location} is a device, a pipe or a file that is being written; name a regular file")
    return data


def _missing(location: str) -> ConfigurationError:
    return ConfigurationError(f"there is no file {location}; correct its name or put it there")


def _stamps(folder: str) -> dict[str, str]:
    """For each file directly in a folder its entity tag, or on disk its size, change time in ns and inode."""
    if folder.startswith(S3):
        with _storage(folder) as storage:
            return storage.entity_tags()
    try:
        with os.scandir(folder) as entries:
            stats = {entry.name: entry.stat() for entry in entries if entry.is_file()}
    except OSError:
        return {}
    return {name: f"{stat.st_size} {stat.st_ctime_ns} {stat.st_ino}" for name, stat in stats.items()}


@contextmanager
def _storage(folder: str) -> Iterator[S3Storage]:
    """A folder in S3; its errors become configuration errors."""
    if not urlsplit(folder).netloc:
        raise ConfigurationError(f"{folder!r} has no bucket; write s3://bucket/folder/file")
    try:
        yield S3Storage(folder, S3_SECONDS)
    except StorageError as error:
        raise ConfigurationError(str(error)) from None
