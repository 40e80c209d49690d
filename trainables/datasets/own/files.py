"""Bytes of a dataset's files, on disk or in S3, each fetched and hashed once; and the digest of its content."""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from posixpath import dirname, normpath
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import platformdirs

from records.s3_storage import S3Storage
from records.storage import StorageError
from trainables.core.errors import ConfigurationError
from trainables.datasets.own.table import Problems, Row


def cache_folder(kind: str) -> Path | None:
    """The folder of one kind of things, made if need be; None where none can be written: then nothing is kept.

    It lies in the user's cache folder (XDG_CACHE_HOME moves it), may be removed at any time and is never cleared.
    """
    folder = Path(platformdirs.user_cache_dir("saliency-sweep")) / "datasets" / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; a full disk is no failure, as the cache is a convenience."""
    partial = path.with_name(f".{path.name}-{uuid4().hex}")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; an empty one if there is none that can be read."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


S3 = "s3://"
S3_SECONDS = 20.0
"""How long is tried while the server is away."""
SETTLED_SECONDS = 2.0
"""A file younger than this may change once more without a new time stamp, so its digest is not kept."""


def absolute(place: str) -> str:
    """`place` as an absolute path, so that it means the same in every process; s3://… as it is, without a last /."""
    if place.startswith(S3):
        return place.rstrip("/")
    return os.path.abspath(os.path.expanduser(place))


def join(folder: str, name: str) -> str:
    """The location of `name` in `folder`; an absolute path or s3://… stands for itself."""
    if name.startswith((S3, "/")):
        return name
    if folder.startswith(S3):
        return S3 + normpath(f"{folder.removeprefix(S3)}/{name}")
    return os.path.normpath(os.path.join(folder, name))


def parent(location: str) -> str:
    """The folder that a location lies in."""
    return S3 + dirname(location.removeprefix(S3)) if location.startswith(S3) else dirname(location)


class Files:
    """Files by location: an absolute path, or s3://bucket/key.

    Each folder is looked at once, so make a new object to see what has changed. Digests are kept in the user's cache
    under a file's path, size, inode and change time (ctime, which no program can set back), or an object's entity tag:
    bytes are hashed once. Objects are kept there too, under their entity tag. Threads may share an object.

    Args:
        place: names the set of files whose digests are kept together.
    """

    def __init__(self, place: str):
        self._stamps: dict[str, dict[str, str]] = {}
        folder = cache_folder("digests")
        self._kept = folder / f"{hashlib.sha256(place.encode()).hexdigest()[:32]}.json" if folder else None
        self._digests = read_json(self._kept) if self._kept else {}
        self._new = False

    def names(self, folder: str) -> set[str]:
        """Names of the files directly in `folder`; none where there is no such folder.

        Raises:
            ConfigurationError: S3 refuses or stays away.
        """
        return set(self._folder(folder))

    def exists(self, location: str) -> bool:
        """Whether there is such a file."""
        return _name(location) in self._folder(parent(location))

    def read(self, location: str) -> bytes:
        """The bytes of a file.

        Raises:
            ConfigurationError: there is no such file, or it cannot be read.
        """
        if location.startswith(S3):
            return self._object(location)
        try:
            return Path(location).read_bytes()
        except FileNotFoundError:
            raise _missing(location) from None
        except OSError as error:
            raise ConfigurationError(f"{location} cannot be read: {error.strerror}; mend its permissions") from None

    def digest(self, location: str) -> str:
        """SHA-256 of a file's bytes, in hex.

        Raises:
            ConfigurationError: there is no such file, or it cannot be read.
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
        """Keep the digests found so far for the next process."""
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
        try:
            data = _storage(location).read(_name(location))
        except StorageError as error:
            raise ConfigurationError(str(error)) from None
        if data is None:
            raise _missing(location)
        if kept:
            write_whole(kept, data)
        return data


def _name(location: str) -> str:
    return location.rsplit("/", 1)[-1]


def _missing(location: str) -> ConfigurationError:
    return ConfigurationError(f"there is no file {location}; correct its name or put it there")


def _stats(folder: str) -> dict[str, str]:
    """Size, change time in nanoseconds and inode of each file in a local folder."""
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: entry.stat() for entry in entries if entry.is_file()}
    except OSError:
        return {}
    return {name: f"{stat.st_size} {stat.st_ctime_ns} {stat.st_ino}" for name, stat in found.items()}


def _tags(folder: str) -> dict[str, str]:
    """The entity tag of each object directly in an s3:// folder."""
    try:
        return _storage(f"{folder}/x").entity_tags()
    except StorageError as error:
        raise ConfigurationError(str(error)) from None


def _storage(location: str) -> S3Storage:
    folder = parent(location)
    if not urlsplit(folder).netloc:
        raise ConfigurationError(f"{location!r} names no object; write s3://bucket/folder/file")
    try:
        return S3Storage(folder, S3_SECONDS)
    except StorageError as error:
        raise ConfigurationError(str(error)) from None


READER_VERSION = 1
"""Counted up when the same files come to be read as other pixels."""
LENGTH = 32
READERS = 16
"""Files read at the same time: from S3 it is nearly all waiting."""


def content_digest(rows: Sequence[Row], files: Files) -> str:
    """Hex digest of the rows in their order, each with the SHA-256 of its image's and its mask's bytes.

    A trial's key has it, so that changed data are new trials. Names and places are left out of it: data that were
    moved, renamed or put into S3 stay the same data. Bytes are hashed, as sizes and times can stay while content
    changes; `Files` keeps each file's digest while its size, time and inode stay, so that it is hashed once.

    Raises:
        ConfigurationError: files that are not there or cannot be read, with their rows.
    """
    problems, lines = Problems(), []
    with ThreadPoolExecutor(READERS) as pool:
        digests = pool.map(lambda row: _digests(row, files), rows)
        for row, found in zip(rows, digests, strict=True):
            if isinstance(found, ConfigurationError):
                problems.add(f"{row.where}: {found}")
                continue
            boxes = [astuple(box) for box in row.boxes]
            lines.append([*found, boxes, row.boxes_side, row.ellipse, row.label, row.group, row.subject, row.split])
    problems.check()
    files.keep()
    text = json.dumps([READER_VERSION, lines], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def _digests(row: Row, files: Files) -> tuple[str, str | None] | ConfigurationError:
    try:
        return files.digest(row.image), files.digest(row.mask) if row.mask else None
    except ConfigurationError as error:
        return error
