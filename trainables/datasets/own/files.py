"""Bytes of a dataset's files, on disk or in S3, each fetched and hashed once; and the digest of its content."""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import astuple
from pathlib import Path
from posixpath import dirname, normpath
from typing import Any
from unicodedata import normalize
from urllib.parse import urlsplit

import platformdirs

from records.storage import FolderStorage, S3Storage, StorageError
from trainables.core.errors import ConfigurationError
from trainables.datasets.own.table import Problems, Row


def cache_folder(kind: str) -> Path | None:
    """The cache folder of one kind of files, created if missing; None if it is not writable, then nothing is cached.

    It is in the user's cache folder (XDG_CACHE_HOME moves it), may be removed at any time and is never cleared.
    """
    folder = Path(platformdirs.user_cache_dir("saliency-sweep")) / "datasets" / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically. A full disk is no error, as the cache is a convenience."""
    with suppress(StorageError):
        FolderStorage(path.parent).write(path.name, data)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; an empty one if the file is missing or unreadable."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


S3 = "s3://"
APPLE_DOUBLE = "._"
"""Start of the names of files in which macOS keeps what other file systems cannot."""
MACOS = "__MACOSX"
"""Folder with such files in an archive."""
S3_SECONDS = 20.0
"""How long to retry while the server is unreachable."""
SETTLED_SECONDS = 2.0
"""A younger file may change again without a new time stamp, so its digest is not cached."""


def absolute(place: str) -> str:
    """`place` as an absolute path, valid in every process; s3://… only loses a trailing slash."""
    if place.startswith(S3):
        return place.rstrip("/")
    return os.path.abspath(os.path.expanduser(place))


def with_absolute_root(options: Any) -> Any:
    """The options with an absolute `root`, where they have one."""
    return options.model_copy(update={"root": absolute(options.root)}) if options.root else options


def check_unchanged(present: str, planned: str, location: str) -> None:
    """Check that the data have the content that the trial was planned with; "" where it is not planned yet.

    Raises:
        ConfigurationError: they have another.
    """
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


def refusal(table: str, name: str) -> str | None:
    """Why a table must not name this file; None if it may. No file's name has a NUL byte.

    Whoever wrote a table in S3 is not the user of this machine: it names no file of the machine, and another bucket
    only openly, as s3://bucket/key.
    """
    if "\0" in name:
        return f"{name!r} has a NUL byte; correct the file's name"
    if not table.startswith(S3) or name.startswith(S3):
        return None
    if name.startswith(("/", "~")):
        return f"{name} is a path of this machine, and the table is in S3; write a path from the table, or s3://…"
    bucket = table.removeprefix(S3).split("/")[0]
    if normpath(f"{parent(table).removeprefix(S3)}/{name}").split("/")[0] != bucket:
        return f"{name} leads out of the table's bucket {bucket}; write a path within it, or s3://…"
    return None


def parent(location: str) -> str:
    """The folder of a location."""
    return S3 + dirname(location.removeprefix(S3)) if location.startswith(S3) else dirname(location)


class Files:
    """Files by location: an absolute path, or s3://bucket/key.

    Each folder is listed once, so create a new object to see changes. Digests are cached under a file's path, size,
    inode and change time (ctime, which no program can set back) or an object's entity tag, so that bytes are hashed
    once. Objects from S3 are cached too, under their entity tag. Thread-safe.

    Args:
        place: names the set of files whose digests are cached together.
    """

    def __init__(self, place: str):
        self._stamps: dict[str, dict[str, str]] = {}
        self._composed: dict[str, dict[str, str]] = {}
        self._stems: dict[str, dict[str, dict[str, str]]] = {}
        folder = cache_folder("digests")
        self._kept = folder / f"{hashlib.sha256(place.encode()).hexdigest()[:32]}.json" if folder else None
        self._digests = read_json(self._kept) if self._kept else {}
        self._new = False

    def names(self, folder: str) -> set[str]:
        """Names of the files directly in `folder`, without what macOS adds (._x); empty if it does not exist.

        Raises:
            ConfigurationError: S3 refuses access or is unreachable.
        """
        return {name for name in self._folder(folder) if not name.startswith(APPLE_DOUBLE)}

    def exists(self, location: str) -> bool:
        """Whether the file exists."""
        return _name(location) in self._folder(parent(location))

    def respelled(self, location: str) -> str | None:
        """The location of the file whose name is the same text in other Unicode characters; None if there is none.

        An umlaut is one character or two, a letter and its dots: macOS writes two, most tables have one.
        """
        folder = parent(location)
        if folder not in self._composed:
            self._composed[folder] = {composed(name): name for name in sorted(self._folder(folder))}
        name = self._composed[folder].get(composed(_name(location)))
        return None if name is None else join(folder, name)

    def of_stem(self, folder: str, stem: str, suffixes: Sequence[str]) -> str | None:
        """The location of `stem` in `folder` with the first of these suffixes that it has, in any case.

        It may be respelled as in `respelled`, if no file has exactly this stem.
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
        """The bytes of a file.

        Raises:
            ConfigurationError: the file is missing or cannot be read.
        """
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
        """SHA-256 of a file's bytes, in hex.

        Raises:
            ConfigurationError: the file is missing or cannot be read.
        """
        stamp = self._folder(parent(location)).get(_name(location))
        if stamp is None:
            raise _missing(location)
        kept = self._digests.get(location)
        if kept and kept[0] == stamp:
            return str(kept[1])
        digest = hashlib.sha256(self.read(location)).hexdigest()
        if location.startswith(S3) or time.time() - int(stamp.split()[1]) / 1e9 > SETTLED_SECONDS:
            self._digests[location] = [stamp, digest]
            self._new = True
        return digest

    def keep(self) -> None:
        """Cache the digests computed so far for the next process."""
        if self._new and self._kept:
            write_whole(self._kept, json.dumps(self._digests).encode())
            self._new = False

    def _folder(self, folder: str) -> dict[str, str]:
        if folder not in self._stamps:
            self._stamps[folder] = _tags(folder) if folder.startswith(S3) else _stats(folder)
        return self._stamps[folder]

    def _object(self, location: str) -> bytes:
        tag = self._folder(parent(location)).get(_name(location))
        if tag is None:
            raise _missing(location)
        folder = cache_folder("objects")
        kept = folder / hashlib.sha256(f"{location} {tag}".encode()).hexdigest() if folder else None
        if kept and kept.is_file():
            return kept.read_bytes()
        with _storage(location) as storage:
            data = storage.read(_name(location))
        if data is None:
            raise _missing(location)
        if kept:
            write_whole(kept, data)
        return data


def composed(name: str) -> str:
    """The name with a letter and its accent as one character (Unicode's form NFC)."""
    return normalize("NFC", name)


def _name(location: str) -> str:
    return location.rsplit("/", 1)[-1]


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


def _tags(folder: str) -> dict[str, str]:
    """The entity tag of each object directly in an s3:// folder."""
    with _storage(f"{folder}/x") as storage:
        return storage.entity_tags()


@contextmanager
def _storage(location: str) -> Iterator[S3Storage]:
    """The folder of an object in S3; its errors become configuration errors."""
    folder = parent(location)
    if not urlsplit(folder).netloc:
        raise ConfigurationError(f"{location!r} names no object; write s3://bucket/folder/file")
    try:
        yield S3Storage(folder, S3_SECONDS)
    except StorageError as error:
        raise ConfigurationError(str(error)) from None


READER_VERSION = 1
"""Increase it when the same files are read as different pixels."""
LENGTH = 32
READERS = 16
"""Files read at the same time: reading from S3 is mostly waiting."""


def content_digest(rows: Sequence[Row], files: Files) -> str:
    """Hex digest of the rows in order, each with the SHA-256 of its image's and its mask's bytes.

    It is part of a trial's key, so that changed data are new trials. Names and places do not enter: data that were
    moved, renamed or put into S3 are the same data. Bytes are hashed, because content can change without size and time.

    Raises:
        ConfigurationError: files are missing or cannot be read; the message names their rows.
    """
    problems, lines = Problems(), []
    with ThreadPoolExecutor(READERS) as pool:
        digests = pool.map(lambda row: _digests(row, files), rows)
        for row, outcome in zip(rows, digests, strict=True):
            if isinstance(outcome, ConfigurationError):
                problems.append(f"{row.where}: {outcome}")
                continue
            boxes = [astuple(box) for box in row.boxes]
            lines.append([*outcome, boxes, row.boxes_side, row.ellipse, row.label, row.group, row.subject, row.split])
    problems.check()
    files.keep()
    text = json.dumps([READER_VERSION, lines], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def _digests(row: Row, files: Files) -> tuple[str, str | None] | ConfigurationError:
    what = f"image {_name(row.image)}"
    try:
        image = files.digest(row.image)
        what = f"mask of image {_name(row.image)}"
        return image, files.digest(row.mask) if row.mask else None
    except ConfigurationError as error:
        return ConfigurationError(f"{what}: {error}")
