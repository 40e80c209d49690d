"""Opens a storage by its location: a local folder or s3://bucket/prefix."""

import os
import re
from pathlib import Path

from records.folder_storage import FolderStorage as FolderStorage
from records.s3_storage import S3Storage as S3Storage
from records.secrets import scrub
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
    """The storage at `location`: a folder's path, file:///PATH, or s3://bucket/prefix."""
    text = str(location)
    if text.startswith("s3://"):
        return S3Storage(text)
    if text.startswith("file:///"):
        return FolderStorage(text.removeprefix("file://"))
    # A single letter before the colon is a drive of Windows.
    if scheme := re.match(r"[A-Za-z][A-Za-z0-9+.-]+(?=:)", text):
        unknown = "" if scheme[0] in ("s3", "file") else f"unknown storage scheme {scheme[0]!r}; "
        raise StorageError(
            f"bad storage {scrub(text)!r}: {unknown}give a folder or s3://bucket/prefix; write a folder whose name has "
            "a colon as ./NAME"
        )
    if not text:
        raise StorageError("bad storage '': give a folder or s3://bucket/prefix; is the variable it comes from unset?")
    return FolderStorage(text)
