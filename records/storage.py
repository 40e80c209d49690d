"""Opens a storage by its location: a local folder or s3://bucket/prefix."""

import os
from pathlib import Path

from records.folder_storage import FolderStorage as FolderStorage
from records.s3_storage import S3Storage as S3Storage
from records.storage_interface import File as File
from records.storage_interface import Storage as Storage
from records.storage_interface import StorageError as StorageError

DEFAULT = "sweeps"
VARIABLE = "SWEEP_STORAGE"
"""Environment variable that replaces the default."""


def default_location() -> str:
    """Where sweeps are if a command does not say: SWEEP_STORAGE, else `sweeps` in the working directory."""
    return os.environ.get(VARIABLE) or DEFAULT


def open_storage(location: str | Path) -> Storage:
    """The storage at `location`: a folder's path, or s3://bucket/prefix.

    Raises:
        StorageError: unknown scheme, or a malformed location.
    """
    text = str(location)
    scheme = text.split("://", 1)[0] if "://" in text else ""
    if scheme == "s3":
        return S3Storage(text)
    if scheme == "file":
        return FolderStorage(text.removeprefix("file://"))
    if scheme:
        raise StorageError(f"unknown storage scheme {scheme!r} in {text!r}: give a folder or s3://bucket/prefix")
    return FolderStorage(text)
