"""Bytes of a dataset's files, on disk or in S3. Each file is fetched and hashed once."""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from posixpath import dirname, normpath
from tempfile import TemporaryDirectory
from typing import Any
from unicodedata import normalize
from urllib.parse import urlsplit

import platformdirs

from records.storage import FolderStorage, S3Storage, StorageError
from trainables.core.errors import ConfigurationError

S3 = "s3://"
APPLE_DOUBLE = "._"
"""Prefix of the files in which macOS keeps what other file systems cannot store."""
S3_SECONDS = 20.0
"""How long to retry while the server is unreachable."""
SETTLED_SECONDS = 2.0
"""A younger file may change again without a new time stamp, so its digest is not cached."""


def cache_folder(kind: str) -> Path:
    """The cache folder for one kind of files, created if missing.

    It is in the user's cache folder (XDG_CACHE_HOME moves it), may be removed at any time and is never cleared. If it
    is not writable, a temporary folder of this process takes its place.
    """
    folder = Path(platformdirs.user_cache_dir("saliency-sweep")) / "datasets" / kind
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    folder = Path(_temporary().name) / kind
    folder.mkdir(exist_ok=True)
    return folder


@cache
def _temporary() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="saliency-sweep-")


def _write_cached(path: Path, data: bytes) -> None:
    """Write a file atomically. A full disk is no error, as the cache only saves time."""
    with suppress(StorageError):
        FolderStorage(path.parent).write(path.name, data)


def absolute(place: str) -> str:
    """`place` as an absolute path, valid in every process; s3://… only loses a trailing slash."""
    return place.rstrip("/") if place.startswith(S3) else os.path.abspath(os.path.expanduser(place))


def with_absolute_root(options: Any) -> Any:
    """The options with an absolute `root` if it is set."""
    return options.model_copy(update={"root": absolute(options.root)}) if options.root else options


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


def file_name(location: str) -> str:
    """The last part of a location."""
    return location.rsplit("/", 1)[-1]


def refusal(table: str, name: str) -> str | None:
    """Why a table must not name this file; None if it may.

    No file name has a NUL byte. The author of a table in S3 is not the user of this machine, so the table must not name
    files of the machine, and must write s3://bucket/key to name another bucket.
    """
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

    Each folder is listed once, so create a new object to see changes. Digests are cached under a file's path, size,
    inode and change time (ctime, which no program can set back), or under an object's entity tag, so that bytes are
    hashed once; those of one `place` are cached together. Objects from S3 are cached under their entity tag too.
    """

    def __init__(self, place: str):
        self._stamps: dict[str, dict[str, str]] = {}
        self._composed: dict[str, dict[str, str]] = {}
        self._stems: dict[str, dict[str, dict[str, str]]] = {}
        self._digest_file = cache_folder("digests") / f"{hashlib.sha256(place.encode()).hexdigest()[:32]}.json"
        self._digests: dict[str, list[str]] = {}
        with suppress(OSError, ValueError):
            self._digests = json.loads(self._digest_file.read_bytes())
        self._has_new_digests = False

    def names(self, folder: str) -> set[str]:
        """Names of the files directly in `folder`, without those that macOS adds (._x); empty if it does not exist."""
        return {name for name in self._listing(folder) if not name.startswith(APPLE_DOUBLE)}

    def find(self, location: str) -> str | None:
        """The location of an existing file with this name, if need be in other Unicode characters; None without one.

        An umlaut is one character or two, a letter and its dots: macOS writes two, most tables have one.
        """
        folder, name = parent(location), file_name(location)
        names = self._listing(folder)
        if name in names:
            return location
        if folder not in self._composed:
            self._composed[folder] = {composed(present): present for present in sorted(names)}
        respelled = self._composed[folder].get(composed(name))
        return join(folder, respelled) if respelled else None

    def of_stem(self, folder: str, stem: str, suffixes: Sequence[str]) -> str | None:
        """The location of `stem` in `folder` with the first of these suffixes that exists, in upper or lower case.

        If no file has exactly this stem, it is looked for in other Unicode characters, as in `find`.
        """
        if folder not in self._stems:
            stems: dict[str, dict[str, str]] = {}
            for spelling in (str, composed):
                for name in sorted(self.names(folder)):
                    start, dot, suffix = spelling(name).rpartition(".")
                    stems.setdefault(start, {}).setdefault(f"{dot}{suffix}".lower(), name)
            self._stems[folder] = stems
        names = self._stems[folder].get(stem) or self._stems[folder].get(composed(stem), {})
        return next((join(folder, names[suffix]) for suffix in suffixes if suffix in names), None)

    def read(self, location: str) -> bytes:
        """The bytes of a file."""
        if location.startswith(S3):
            return self._object(location)
        try:
            return Path(location).read_bytes()
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

    def _listing(self, folder: str) -> dict[str, str]:
        """For each file in a folder a text that changes with its content."""
        if folder not in self._stamps:
            self._stamps[folder] = _entity_tags(folder) if folder.startswith(S3) else _stats(folder)
        return self._stamps[folder]

    def _stamp(self, location: str) -> str:
        stamp = self._listing(parent(location)).get(file_name(location))
        if stamp is None:
            raise _missing(location)
        return stamp

    def _object(self, location: str) -> bytes:
        digest = hashlib.sha256(f"{location} {self._stamp(location)}".encode()).hexdigest()
        cached = cache_folder("objects") / digest
        if cached.is_file():
            return cached.read_bytes()
        with _storage(parent(location)) as storage:
            data = storage.read(file_name(location))
        if data is None:
            raise _missing(location)
        _write_cached(cached, data)
        return data


def composed(name: str) -> str:
    """The name with a letter and its accent as one character (Unicode's form NFC)."""
    return normalize("NFC", name)


def _missing(location: str) -> ConfigurationError:
    return ConfigurationError(f"there is no file {location}; correct its name or put it there")


def _stats(folder: str) -> dict[str, str]:
    """Size, change time in nanoseconds and inode of each file in a local folder."""
    try:
        with os.scandir(folder) as entries:
            stats = {entry.name: entry.stat() for entry in entries if entry.is_file()}
    except OSError:
        return {}
    return {name: f"{stat.st_size} {stat.st_ctime_ns} {stat.st_ino}" for name, stat in stats.items()}


def _entity_tags(folder: str) -> dict[str, str]:
    """The entity tag of each object directly in an s3:// folder."""
    with _storage(folder) as storage:
        return storage.entity_tags()


@contextmanager
def _storage(folder: str) -> Iterator[S3Storage]:
    """A folder in S3; its errors become configuration errors."""
    if not urlsplit(folder).netloc:
        raise ConfigurationError(f"{folder!r} has no bucket; write s3://bucket/folder/file")
    try:
        yield S3Storage(folder, S3_SECONDS)
    except StorageError as error:
        raise ConfigurationError(str(error)) from None
