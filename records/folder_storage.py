"""A folder on a local or shared file system as storage."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from records.storage_interface import File, Storage, StorageAwayError, StorageError

PART = ".part"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class FolderStorage(Storage):
    """A folder on a local or shared file system."""

    def __init__(self, root: str | Path):
        try:
            path = Path(root).expanduser()
        except RuntimeError as error:
            raise StorageError(
                f"bad storage {str(root)!r}: there is no such home folder; write out its path"
            ) from error
        self.root = path.resolve()
        self.location = str(self.root)

    def read(self, name: str) -> bytes | None:
        path = self.root / name
        with _explained("read", path):
            try:
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
            with _locked_folder(path.parent):
                if path.exists():
                    return False
                os.replace(part, path)
                return True

    def replace(self, name: str, expected: bytes, data: bytes) -> bool:
        path = self.root / name
        with _explained("write", path), _locked(path) as file:
            if file is None or file.read() != expected:
                return False
            with _part(path, data) as part:
                os.replace(part, path)
            return True

    def delete(self, name: str) -> None:
        path = self.root / name
        with _explained("delete", path), _locked(path) as file:
            if file is not None:
                path.unlink()

    def names(self, prefix: str) -> list[str]:
        folder = self.root / prefix
        with _explained("list", folder):
            if not folder.is_dir():
                return []
            files = [p for p in folder.rglob("*") if not p.name.startswith(".") and p.is_file()]
        return sorted(p.relative_to(self.root).as_posix() for p in files)

    def files(self, prefix: str) -> dict[str, File]:
        files = {}
        for name in self.names(prefix):
            # A running sweep may have removed it meanwhile.
            with _explained("read", self.root / name), suppress(FileNotFoundError):
                stat = (self.root / name).stat()
                files[name] = File(stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))
        return files

    def delete_many(self, names: Iterable[str]) -> None:
        folders: set[Path] = set()
        for name in names:
            path = self.root / name
            with _explained("delete", path):
                path.unlink(missing_ok=True)
            folders |= {folder for folder in path.parents if self.root in folder.parents}
        _remove_empty(folders)

    def clear_partial(self, prefix: str) -> None:
        folder = self.root / prefix
        for part in folder.rglob(f".*{PART}"):
            with _explained("delete", part):
                part.unlink(missing_ok=True)
        _remove_empty(path for path in folder.rglob("*") if path.is_dir())

    def check(self) -> None:
        with _explained("write", self.root):
            probe = next(p for p in (self.root, *self.root.parents) if p.exists())
        if not probe.is_dir():
            raise StorageError(
                f"storage {self.location!r}: {str(probe)!r} is a file, not a folder; "
                "give --storage a folder or s3://bucket/prefix"
            )
        if not os.access(probe, os.W_OK | os.X_OK):
            raise StorageError(
                f"storage {self.location!r}: no permission to write in {str(probe)!r}; "
                "give --storage a folder you may write to or s3://bucket/prefix"
            )


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of the folders that are empty, or hold only others of them that are."""
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        # It is not empty, or already gone.
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def _part(path: Path, data: bytes) -> Iterator[Path]:
    """A temporary file with `data` beside `path`, deleted at the end unless renamed. Creates missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, where os.replace is atomic; the leading dot hides it from `names`.
    part = path.parent / f".{uuid4().hex}{PART}"
    try:
        # Permissions follow the umask: in a group's folder another member can replace a lease.
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield part
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO | None]:
    """Wait for, then hold, the lock on the file at `path`: the open file, or None if there is none.

    The system releases a lock when its holder dies. There is no lock file to be left behind: the file itself is locked,
    and if it was replaced during the wait, the new one is locked instead.
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
            if _is_at(file, path):
                yield file
                return


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    """Wait for, then hold, the lock on a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle)
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    import fcntl  # not on Windows, where records are written and read without it

    fcntl.flock(handle, fcntl.LOCK_EX)


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether the open `file` is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


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
        kind = StorageAwayError if error.errno in NO_ROOM else StorageError
        raise kind(f"cannot {action} {path}: {error.strerror or error}{fix}") from error
