"""Where a sweep's files live: a local folder or s3://bucket/prefix, behind one small interface."""

import os
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class StorageError(Exception):
    """A storage that cannot be used; the message names the location, the reason and the mend."""


class Storage(ABC):
    """Bytes under slash-separated names. Writes are atomic: a reader sees the old bytes or the new ones."""

    location: str

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """The bytes under `name`, or None where there are none."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Put `data` under `name`, whole or not at all.

        Raises:
            StorageError: the bytes could not be written.
        """

    @abstractmethod
    def names(self, prefix: str) -> list[str]:
        """All names that start with `prefix` (a folder name ending in a slash), sorted."""

    @abstractmethod
    def check(self) -> None:
        """Raise StorageError unless this storage can be written to."""


class FolderStorage(Storage):
    """A folder on a local or shared file system."""

    def __init__(self, root: str | Path):
        self.root = Path(root).expanduser().resolve()
        self.location = str(self.root)

    def read(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"cannot read {self.root / name}: {error.strerror or error}") from error

    def write(self, name: str, data: bytes) -> None:
        path = self.root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # The temporary name starts with a dot and lies in the same folder: os.replace is atomic there,
            # and `names` never lists a half-written file.
            handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.chmod(temporary, 0o644)
                os.replace(temporary, path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror or error}") from error

    def names(self, prefix: str) -> list[str]:
        folder = self.root / prefix
        if not folder.is_dir():
            return []
        files = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
        return sorted(p.relative_to(self.root).as_posix() for p in files)

    def check(self) -> None:
        probe = self.root if self.root.exists() else next(p for p in self.root.parents if p.exists())
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


class S3Storage(Storage):
    """s3://bucket/prefix on AWS or any compatible server.

    Endpoint, region and credentials come from the standard AWS variables (AWS_ENDPOINT_URL, AWS_DEFAULT_REGION,
    AWS_ACCESS_KEY_ID, …), never from the location.
    """

    def __init__(self, location: str):
        import boto3
        from botocore.config import Config

        parts = urlsplit(location)
        if not parts.netloc or "@" in parts.netloc or parts.query:
            raise StorageError(
                "an s3 storage is written s3://bucket/prefix; "
                "give keys and endpoint in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL"
            )
        self.bucket = parts.netloc
        self.prefix = parts.path.strip("/")
        self.location = f"s3://{self.bucket}/{self.prefix}".rstrip("/")
        config = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=30)
        self._client: Any = boto3.client("s3", config=config)

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def read(self, name: str) -> bytes | None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            data: bytes = self._client.get_object(Bucket=self.bucket, Key=self._key(name))["Body"].read()
            return data
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
                return None
            raise self._explain("read", name, error) from error
        except BotoCoreError as error:
            raise self._explain("read", name, error) from error

    def write(self, name: str, data: bytes) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.put_object(Bucket=self.bucket, Key=self._key(name), Body=data)
        except (BotoCoreError, ClientError) as error:
            raise self._explain("write", name, error) from error

    def names(self, prefix: str) -> list[str]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._key(prefix))
            keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        except (BotoCoreError, ClientError) as error:
            raise self._explain("list", prefix, error) from error
        skip = len(self.prefix) + 1 if self.prefix else 0
        return sorted(key[skip:] for key in keys)

    def check(self) -> None:
        self.names("")
        self.write(".writable", b"")

    def _explain(self, action: str, name: str, error: Exception) -> StorageError:
        response = getattr(error, "response", None) or {}
        code = response.get("Error", {}).get("Code", type(error).__name__)
        mends = {
            "NoSuchBucket": f"create the bucket {self.bucket!r} first",
            "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID",
            "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY",
            "AccessDenied": "the key needs list, read and write permission on the bucket",
            "NoCredentialsError": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            "EndpointConnectionError": "check AWS_ENDPOINT_URL and that the server runs",
        }
        mend = mends.get(code, "check the AWS_* variables and the bucket")
        return StorageError(f"cannot {action} {self.location}/{name}: {code}; {mend}")


def open_storage(location: str | Path) -> Storage:
    """The storage at `location`: a folder's path, or s3://bucket/prefix.

    Raises:
        StorageError: the location has another scheme or is not well formed.
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
