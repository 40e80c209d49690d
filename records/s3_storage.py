"""s3://bucket/prefix as storage, on AWS or any compatible server; survives outages of up to two minutes."""

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, TypeVar
from uuid import uuid4

from records.secrets import scrub
from records.storage_interface import File, Storage, StorageAwayError, StorageError

RETRY_SECONDS = 120.0
"""How long a read or write is retried while the server is unreachable or fails."""
CHECK_SECONDS = 3.0
"""The same for `check`, for which a person waits."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between tries: doubled each time, randomly shortened by up to half so that workers spread out."""
SHORTEST_TIMEOUT, LONGEST_TIMEOUT = 5.0, 30.0
"""Timeout of one request, in seconds."""
READERS = 16
"""Objects read at the same time: reading one is mostly waiting."""
DELETED_AT_ONCE = 1000
"""Objects of a request that deletes: S3's limit."""

NOT_NOW = (
    "ConditionalRequestConflict",
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "TooManyRequestsException",
)
"""Errors in the 4xx range that are worth a retry."""

REFUSALS = {
    "NoSuchBucket": ("there is no bucket {bucket!r}", "create it first, or correct its name"),
    "InvalidBucketName": ("{bucket!r} is no bucket name", "correct its name"),
    "ParamValidationError": ("{bucket!r} is no bucket name", "correct its name"),
    "InvalidAccessKeyId": ("the server does not know the access key", "check AWS_ACCESS_KEY_ID"),
    "SignatureDoesNotMatch": ("the secret key does not fit the access key", "check AWS_SECRET_ACCESS_KEY"),
    "AccessDenied": (
        "the access key has no permission",
        "allow it to list, read, write and delete in bucket {bucket!r}, or set AWS_ACCESS_KEY_ID to a key that may",
    ),
    "ExpiredToken": ("the credentials have expired", "renew them, AWS_SESSION_TOKEN among them"),
    "InvalidToken": ("the session token is not valid", "check AWS_SESSION_TOKEN, or unset it for a permanent key"),
    "RequestTimeTooSkewed": ("this machine's clock is wrong", "set the clock"),
    "PermanentRedirect": ("the bucket lies in another region", "set AWS_DEFAULT_REGION to it"),
    "AuthorizationHeaderMalformed": ("the bucket lies in another region", "set AWS_DEFAULT_REGION to it"),
    "IllegalLocationConstraintException": ("the bucket lies in another region", "set AWS_DEFAULT_REGION to it"),
    "InvalidRegionError": ("the region is not well formed", "set AWS_DEFAULT_REGION, for example to us-east-1"),
    "NoRegionError": ("no region is set", "set AWS_DEFAULT_REGION, for example to us-east-1"),
    "NoCredentialsError": ("there are no credentials", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    "PartialCredentialsError": (
        "half of the credentials are missing",
        "set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    "ProfileNotFound": ("there is no such profile", "correct or unset AWS_PROFILE"),
    "ValueError": ("the endpoint is not well formed", "set AWS_ENDPOINT_URL to http://HOST:PORT or https://HOST"),
    "NotImplemented": (
        "the server cannot do what is asked of it",
        "use a server that knows conditional writes, such as AWS S3 or SeaweedFS",
    ),
}
"""Error code or exception to (reason, fix). Only these words are shown: a server's message may repeat a key."""

Result = TypeVar("Result")


class S3Storage(Storage):
    """s3://bucket/prefix on AWS or any compatible server.

    Endpoint, region and credentials come from the standard AWS variables (AWS_ENDPOINT_URL, AWS_DEFAULT_REGION,
    AWS_ACCESS_KEY_ID, …), never from the location. The server must honour If-None-Match and If-Match on writes, as
    AWS S3 and SeaweedFS do; `check` tests it.

    Args:
        location: s3://bucket or s3://bucket/prefix.
        retry_seconds: how long a read or write is retried, with growing pauses, while there is no connection or the
            server fails (5xx). A refusal (4xx) is not retried.
    """

    def __init__(self, location: str, retry_seconds: float = RETRY_SECONDS):
        self.bucket, _, prefix = location.removeprefix("s3://").partition("/")
        if not self.bucket or set("@:") & set(self.bucket) or set("?#") & set(location):
            raise StorageError(
                f"bad storage {scrub(location)!r}: an s3 storage is written s3://bucket/prefix, without ? and #; "
                "give keys and endpoint in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL"
            )
        self.prefix = prefix.strip("/")
        self.location = f"s3://{self.bucket}/{self.prefix}".rstrip("/")
        self.retry_seconds = retry_seconds
        with self._explained("open"):
            # No single request outlasts the retries.
            timeout = max(SHORTEST_TIMEOUT, min(LONGEST_TIMEOUT, retry_seconds))
            self._client = _client(_aws_variables(), os.getpid(), timeout)

    def read(self, name: str) -> bytes | None:
        content = self._get(name)
        return None if content is None else content[0]

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        names = list(names)
        with ThreadPoolExecutor(READERS) as pool:
            contents = list(zip(names, pool.map(self.read, names), strict=True))
        return {name: data for name, data in contents if data is not None}

    def write(self, name: str, data: bytes) -> None:
        with self._explained("write", name):
            self._retried(lambda: self._client.put_object(Bucket=self.bucket, Key=self._key(name), Body=data))

    def create(self, name: str, data: bytes) -> bool:
        return self._put_if(name, data, IfNoneMatch="*")

    def replace(self, name: str, expected: bytes, data: bytes) -> bool:
        current = self._get(name)
        if current is None or current[0] != expected:
            return False
        return self._put_if(name, data, IfMatch=current[1])

    def delete(self, name: str) -> None:
        with self._explained("delete", name):
            self._retried(lambda: self._client.delete_object(Bucket=self.bucket, Key=self._key(name)))

    def names(self, prefix: str) -> list[str]:
        return list(self.files(prefix))

    def files(self, prefix: str) -> dict[str, File]:
        skip = len(self._key(""))
        with self._explained("list", prefix):
            items = {item["Key"][skip:]: item for item in self._items(prefix)}
        return {
            name: File(item["Size"], item["LastModified"])
            for name, item in sorted(items.items())
            if not name.rsplit("/", 1)[-1].startswith(".")
        }

    def delete_many(self, names: Iterable[str]) -> None:
        names = list(names)
        for start in range(0, len(names), DELETED_AT_ONCE):
            keys = [{"Key": self._key(name)} for name in names[start : start + DELETED_AT_ONCE]]
            objects = {"Objects": keys, "Quiet": True}
            delete = partial(self._client.delete_objects, Bucket=self.bucket, Delete=objects)
            with self._explained("delete", names[start]):
                failed = self._retried(delete).get("Errors", [])
            if failed:
                name, code = failed[0]["Key"], failed[0].get("Code")
                raise StorageError(f"cannot delete s3://{self.bucket}/{name}: refused with {code}; try again")

    def entity_tags(self) -> dict[str, str]:
        """The names directly at this location, not deeper, with a tag that changes with their content."""
        skip = len(self._key(""))
        with self._explained("list"):
            tags = {item["Key"][skip:]: item["ETag"] for item in self._items("", Delimiter="/")}
        return {name: tag for name, tag in tags.items() if name}

    def clear_partial(self, prefix: str) -> None:
        """Do nothing: an object is written whole or not at all."""

    def check(self) -> None:
        """Raise StorageError unless a sweep can list, create, read and delete here."""
        quick = S3Storage(self.location, min(CHECK_SECONDS, self.retry_seconds))
        with quick._explained("list"):
            quick._retried(lambda: quick._client.list_objects_v2(Bucket=quick.bucket, MaxKeys=1))
        probe = f".writable-{uuid4().hex}"
        if not quick.create(probe, b"probe") or quick.read(probe) != b"probe" or quick.create(probe, b"again"):
            quick.delete(probe)
            raise StorageError(
                f"cannot use {self.location}: the server ignores If-None-Match and overwrites; "
                "use a server that honours conditional writes, such as AWS S3 or SeaweedFS"
            )
        quick.delete(probe)

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _items(self, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        more: dict[str, str] = {}
        while True:
            listing = partial(
                self._client.list_objects_v2, Bucket=self.bucket, Prefix=self._key(prefix), **options, **more
            )
            page = self._retried(listing)
            yield from page.get("Contents", [])
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _get(self, name: str) -> tuple[bytes, str] | None:
        """The bytes under `name` and their entity tag, or None."""

        def get() -> tuple[bytes, str] | None:
            try:
                answer = self._client.get_object(Bucket=self.bucket, Key=self._key(name))
                return answer["Body"].read(), answer["ETag"]
            except self._client.exceptions.NoSuchKey:
                return None

        with self._explained("read", name):
            return self._retried(get)

    def _put_if(self, name: str, data: bytes, **condition: str) -> bool:
        from botocore.exceptions import ClientError

        tries = 0

        def put() -> bool:
            nonlocal tries
            tries += 1
            try:
                self._client.put_object(Bucket=self.bucket, Key=self._key(name), Body=data, **condition)
                return True
            except ClientError as error:
                if _code(error) in ("PreconditionFailed", "NoSuchKey"):
                    return False
                raise

        with self._explained("write", name):
            put_there = self._retried(put)
        # If the answer to a successful write was lost, the retry fails on our own bytes.
        return put_there or (tries > 1 and self.read(name) == data)

    def _retried(self, operation: Callable[[], Result]) -> Result:
        """The result of `operation`, retried with growing pauses while the server is unreachable."""
        from botocore.exceptions import BotoCoreError, ClientError

        deadline = time.monotonic() + self.retry_seconds
        pause = FIRST_PAUSE
        while True:
            try:
                return operation()
            except (BotoCoreError, ClientError) as error:
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not _is_transient(error):
                    raise
            time.sleep(min(remaining, pause * random.uniform(0.5, 1)))  # noqa: S311
            pause = min(2 * pause, LONGEST_PAUSE)

    @contextmanager
    def _explained(self, action: str, name: str = "") -> Iterator[None]:
        """Turn an error of boto3 into a StorageError of one line."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError, ValueError) as error:
            code = _code(error)
            place = f"{self.location}/{name}" if name else self.location
            endpoint = scrub(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS")
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                reason, fix = f"the certificate of {endpoint} is not trusted", "set AWS_CA_BUNDLE to its authority's"
            elif _is_transient(error):
                what = (
                    f"{endpoint} answers {code}" if isinstance(error, ClientError) else f"no connection to {endpoint}"
                )
                reason = f"{what}, tried for {self.retry_seconds:g} s"
                fix = "check AWS_ENDPOINT_URL and that the server runs"
            else:
                reason, fix = REFUSALS.get(code, (f"refused with {code}", "check the AWS_* variables and the bucket"))
            reason, fix = reason.format(bucket=self.bucket), fix.format(bucket=self.bucket)
            kind = StorageAwayError if _is_transient(error) else StorageError
            raise kind(f"cannot {action} {place}: {reason}; {fix}") from error


def _code(error: Exception) -> str:
    """The server's error code, or the name of the exception where no server answered."""
    response = getattr(error, "response", None) or {}
    code = response.get("Error", {}).get("Code") or type(error).__name__
    # Responses without a body, to HEAD requests or from a proxy, have only the status as a code.
    return {"403": "AccessDenied", "Forbidden": "AccessDenied", "412": "PreconditionFailed"}.get(code, code)


def _is_transient(error: Exception) -> bool:
    """Whether the same request may succeed later."""
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError, IncompleteReadError

    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return (status >= 500 and _code(error) != "NotImplemented") or status == 429 or _code(error) in NOT_NOW
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return False
    return isinstance(error, ConnectionError | HTTPClientError | IncompleteReadError)


def _aws_variables() -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))


@lru_cache(maxsize=8)
def _client(variables: tuple[tuple[str, str], ...], process: int, timeout: float) -> Any:
    """The S3 client for these AWS variables: one per process, since creating one takes longer than a request.

    Threads may share a client; a forked process may not use its parent's.
    """
    import boto3
    from botocore.config import Config

    # One attempt: `_retried` decides how long to retry, and `_put_if` must count the attempts.
    config = Config(
        retries={"total_max_attempts": 1},
        connect_timeout=SHORTEST_TIMEOUT,
        read_timeout=timeout,
        max_pool_connections=READERS,
    )
    return boto3.session.Session().client("s3", config=config)
