"""A folder on a local or shared file system as storage."""

import errno
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO
from uuid import uuid4

from records.storage_interface import LARGEST, File, Storage, StorageAwayError, StorageError, too_large

PART = ".part"
LOCK_SECONDS = 30.0
"""How long to wait for another process, which holds a lock for milliseconds unless it is suspended."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
NO_SYNC = (errno.EACCES, errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP)
"""Errors of syncing a folder on Windows, on some network file systems, and without permission to list it."""


class FolderStorage(Storage):
    """A folder on a local or shared file system. A power failure undoes no method that has returned."""

    def __init__(self, root: str | Path):
        try:
            path = Path(root).expanduser()
        except RuntimeError as error:
            raise StorageError(
                f"bad storage {str(root)!r}: there is no such home folder; write out its path"
            ) from error
        self.root = path.resolve()
        self.location = str(self.root)

    def read(self, name: str, largest: int = LARGEST) -> bytes | None:
        path = self.root / name
        with _explained("read", path):
            try:
                if (size := path.stat().st_size) > largest:
                    raise too_large(str(path), size, largest)
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> None:
        path = self.root / name
        with _explained("write", path), _part(path, data) as part:
            os.replace(part, path)

    def create(self, name: str, data: bytes) -> bool:
        path = self.root / name
        with _explained("write", path), _part(path, data) as part:
            try:
                # A link, unlike a rename, fails if the name is taken, on network file systems too.
                os.link(part, path)
                return True
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in NO_HARD_LINKS:
                    raise
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                _lock(folder)
                if path.exists():
                    return False
                os.replace(part, path)
                return True
            finally:
                os.close(folder)

    def replace(self, name: str, expected: bytes, data: bytes) -> bool:
        path = self.root / name
        with _explained("write", path):
            if not path.exists():
                return False
            # Written before, so that hardly any process is suspended while it holds the lock.
            with _part(path, data) as part, _locked(path) as file:
                if file is None or file.read() != expected:
                    return False
                os.replace(part, path)
                return True

    def delete(self, name: str) -> None:
        path = self.root / name
        with _explained("delete", path), _locked(path) as file:
            if file is not None:
                path.unlink()
                sync(path.parent)

    def files(self, prefix: str) -> dict[str, File]:
        folder = self.root / prefix
        files = {}
        with _explained("list", folder):
            # Without a Path for each file, which would take most of the time.
            for place, _, names in os.walk(folder, onerror=_unless_gone) if folder.is_dir() else ():
                inside = Path(place).relative_to(self.root).as_posix().removeprefix(".")
                for name in names:
                    # A running sweep may remove files meanwhile.
                    with suppress(FileNotFoundError):
                        stat = os.stat(f"{place}/{name}")
                        if S_ISREG(stat.st_mode) and not name.startswith("."):
                            modified = datetime.fromtimestamp(stat.st_mtime, UTC)
                            files[f"{inside}/{name}".removeprefix("/")] = File(stat.st_size, modified)
        return dict(sorted(files.items()))

    def times(self, name: str) -> tuple[datetime, datetime] | None:
        path = self.root / name
        with _explained("read", path):
            try:
                written = path.stat().st_mtime
            except FileNotFoundError:
                return None
        try:
            # On a shared file system this is the server's clock.
            with _part(path, b"") as part:
                now = part.stat().st_mtime
        except OSError:
            # --status must work without permission to write.
            now = time.time()
        return datetime.fromtimestamp(written, UTC), datetime.fromtimestamp(now, UTC)

    def delete_many(self, names: Iterable[str]) -> None:
        folders: set[Path] = set()
        for name in names:
            path = self.root / name
            with _explained("delete", path):
                path.unlink(missing_ok=True)
            folders |= {folder for folder in path.parents if self.root in (folder, *folder.parents)}
        _remove_empty(folders - {self.root})
        with _explained("delete", self.root):
            for folder in filter(Path.is_dir, folders):
                sync(folder)

    def clear_partial(self, prefix: str) -> None:
        folder = self.root / prefix
        for part in folder.rglob(f".*{PART}"):
            with _explained("delete", part):
                part.unlink(missing_ok=True)
        _remove_empty(path for path in folder.rglob("*") if path.is_dir())

    def check(self) -> None:
        with _explained("write", self.root):
            nearest = next(path for path in (self.root, *self.root.parents) if path.exists())
        if not nearest.is_dir():
            problem, fix = f"{str(nearest)!r} is a file, not a folder", "a folder"
        elif not os.access(nearest, os.W_OK | os.X_OK):
            problem, fix = f"no permission to write in {str(nearest)!r}", "a folder you may write to"
        else:
            return
        raise StorageError(f"storage {self.location!r}: {problem}; give --storage {fix} or s3://bucket/prefix")


def _unless_gone(error: OSError) -> None:
    """Raise an error of listing, unless the folder was removed meanwhile or is not ours to read."""
    if not isinstance(error, FileNotFoundError | PermissionError):
        raise error


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise


def _make(folder: Path) -> None:
    """Create a folder and those above it, unless they exist."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove each folder that is empty, or holds only others of them that are."""
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        # It is not empty, or already gone.
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def _part(path: Path, data: bytes) -> Iterator[Path]:
    """A temporary file with `data` beside `path`, deleted at the end unless renamed. Creates missing folders."""
    _make(path.parent)
    # In the same folder, where os.replace is atomic; the leading dot hides it from `files`.
    part = path.parent / f".{uuid4().hex}{PART}"
    try:
        # Permissions follow the umask: in a group's folder another member can replace a lease.
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield part
        # Until its folder is on the disk too, a power failure undoes the renaming of a file.
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO | None]:
    """Wait for, then hold, the lock on the file at `path`: the open file, or None if there is none.

    The system releases a lock when its holder dies. No lock file can be left behind: the file itself is locked, and if
    it was replaced during the wait, the new one is locked instead.
    """
    while True:
        try:
            # Opened for writing, which an exclusive lock requires on network file systems.
            file = path.open("r+b")
        except FileNotFoundError:
            yield None
            return
        with file:
            _lock(file.fileno())
            try:
                current = path.stat()
            except FileNotFoundError:
                continue
            if os.path.samestat(os.fstat(file.fileno()), current):
                yield file
                return


def _lock(handle: int) -> None:
    """Wait for, then take, the lock on an open file or folder, until it is closed."""
    import fcntl  # not on Windows, where records are written and read without it

    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, "another process holds its lock") from None
        time.sleep(0.002)


@contextmanager
def _explained(action: str, path: Path) -> Iterator[None]:
    """Turn an error of the system into a StorageError that says how to fix it."""
    try:
        yield
    except OSError as error:
        fix = ""
        if error.errno in NO_ROOM:
            fix = "; make room there, or give --storage a folder that has some"
        elif error.errno in FORBIDDEN:
            fix = "; give --storage a folder you may write to or s3://bucket/prefix"
        elif error.errno == errno.ETIMEDOUT:
            fix = "; if a driver of the sweep is suspended, continue or end it"
        kind = StorageAwayError if error.errno in (*NO_ROOM, errno.ETIMEDOUT) else StorageError
        raise kind(f"cannot {action} {path}: {error.strerror or error}{fix}") from error
