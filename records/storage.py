"""Opens a storage by its location: a local folder or s3://bucket/prefix."""

from pathlib import Path

from records.folder_storage import FolderStorage as FolderStorage
from records.s3_storage import S3Storage as S3Storage
from records.storage_interface import Storage as Storage
from records.storage_interface import StorageError as StorageError


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
