"""s3://bucket/prefix as storage, on AWS or any compatible server; survives outages of up to two minutes."""

import os
import random
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from typing import Any, TypeVar
from uuid import uuid4

from records.secrets import scrub
from records.storage_interface import LARGEST, READERS, File, Storage, StorageAwayError, StorageError, too_large

RETRY_SECONDS = 120.0
"""How long a request is retried while the server is unreachable or fails."""
CHECK_SECONDS = 3.0
"""The same for `check`, for which a person waits."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between tries: doubled each time, randomly shortened by up to half so that workers spread out."""
SHORTEST_TIMEOUT, LONGEST_TIMEOUT = 5.0, 30.0
"""Timeout of one request, in seconds."""
DELETED_AT_ONCE = 1000
"""Objects of a request that deletes: S3's limit."""
NOT_NOW = ("ConditionalRequestConflict", "RequestTimeout", "Throttling", "ThrottlingException")
"""Errors in the 4xx range that are worth a retry, besides 429."""
CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"
CONDITIONAL_WRITES = "use a server that honours conditional writes, such as AWS S3 or SeaweedFS"
REGION = "set AWS_DEFAULT_REGION, for example to us-east-1"
REFUSALS = {
    CERTIFICATE: "the certificate of {endpoint} is not trusted; set AWS_CA_BUNDLE to its authority's",
    "NoSuchBucket": "there is no bucket {bucket!r}; create it first, or correct its name",
    **dict.fromkeys(
        ("InvalidBucketName", "ParamValidationError"), "{bucket!r} is not a valid bucket name; correct its name"
    ),
    "InvalidAccessKeyId": "the server does not know the access key; check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret key does not fit the access key; check AWS_SECRET_ACCESS_KEY",
    "AccessDenied": "the access key has no permission; allow it to list, read, write and delete in bucket {bucket!r}, "
    "or set AWS_ACCESS_KEY_ID to a key that may",
    "ExpiredToken": "the credentials have expired; renew them, AWS_SESSION_TOKEN among them",
    "InvalidToken": "the session token is not valid; check AWS_SESSION_TOKEN, or unset it for a permanent key",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set the clock",
    **dict.fromkeys(
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"),
        "the bucket lies in another region; set AWS_DEFAULT_REGION to it",
    ),
    "InvalidRegionError": f"the region is not well formed; {REGION}",
    "NoRegionError": f"no region is set; {REGION}",
    "NoCredentialsError": "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "PartialCredentialsError": "half of the credentials are missing; set both AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY",
    "ProfileNotFound": "there is no such profile; correct or unset AWS_PROFILE",
    "ValueError": "the endpoint is not well formed; set AWS_ENDPOINT_URL to http://HOST:PORT or https://HOST of an S3 "
    "server",
    "RecursionError": "{endpoint} redirects every request; set AWS_ENDPOINT_URL to the address of the S3 server itself",
    "NotImplemented": f"the server does not support the request; {CONDITIONAL_WRITES}",
}
"""Reason and fix by error code or exception. Only these words are shown: a server's message may repeat a key."""

ANSWERS = {"GetObject": {"ETag", "ContentLength"}, "PutObject": {"ETag"}, "ListObjectsV2": {"IsTruncated"}}
"""Always in S3's answer. A web server or a proxy may answer 200 to anything, with a page or nothing."""
LISTED = {"Key", "Size", "ETag", "LastModified"}

Result = TypeVar("Result")


class S3Storage(Storage):
    """s3://bucket/prefix on AWS or any compatible server.

    Endpoint, region and credentials come from the standard AWS variables (AWS_ENDPOINT_URL, AWS_DEFAULT_REGION,
    AWS_ACCESS_KEY_ID, …), never from the location. The server must honour If-None-Match and If-Match on writes, as
    AWS S3 and SeaweedFS do; `check` tests it.

    A request is retried for `retry_seconds`, with growing pauses, while there is no connection or the server fails
    (5xx). A refusal (4xx) is not retried.
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
        # No single request outlasts the retries.
        timeout = max(SHORTEST_TIMEOUT, min(LONGEST_TIMEOUT, retry_seconds))
        variables = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
        self._client = self._request("open", "", lambda: _client(variables, os.getpid(), timeout))

    def read(self, name: str, largest: int = LARGEST) -> bytes | None:
        return self._get(name, largest)[0]

    def write(self, name: str, data: bytes) -> None:
        self._put(name, data)

    def create(self, name: str, data: bytes) -> bool:
        return self._put(name, data, IfNoneMatch="*")

    def replace(self, name: str, expected: bytes, data: bytes) -> bool:
        current, answer = self._get(name)
        return current == expected and self._put(name, data, IfMatch=answer["ETag"])

    def delete(self, name: str) -> None:
        self._request("delete", name, lambda: self._client.delete_object(Bucket=self.bucket, Key=self._key(name)))

    def files(self, prefix: str) -> dict[str, File]:
        items = {k: v for k, v in self._items(prefix).items() if not k.rpartition("/")[2].startswith(".")}
        return {name: File(item["Size"], item["LastModified"]) for name, item in sorted(items.items())}

    def times(self, name: str) -> tuple[datetime, datetime] | None:
        data, answer = self._get(name)
        if data is None:
            return None
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return answer["LastModified"], parsedate_to_datetime(date) if date else datetime.now(UTC)

    def delete_many(self, names: Iterable[str]) -> None:
        keys = [{"Key": self._key(name)} for name in names]
        for start in range(0, len(keys), DELETED_AT_ONCE):
            objects = {"Objects": keys[start : start + DELETED_AT_ONCE], "Quiet": True}
            delete = partial(self._client.delete_objects, Bucket=self.bucket, Delete=objects)
            if failed := self._request("delete", "", delete).get("Errors"):
                name, code = failed[0]["Key"], failed[0].get("Code")
                raise StorageError(f"cannot delete s3://{self.bucket}/{name}: refused with {code}; try again")

    def entity_tags(self) -> dict[str, str]:
        """The names directly at this location, not deeper, with a tag that changes with their content."""
        return {name: item["ETag"] for name, item in self._items("", Delimiter="/").items() if name}

    def check(self) -> None:
        """Raise StorageError unless a sweep can list, create, read and delete here."""
        quick = S3Storage(self.location, min(CHECK_SECONDS, self.retry_seconds))
        quick._request("list", "", lambda: quick._client.list_objects_v2(Bucket=quick.bucket, MaxKeys=1))
        probe = f".writable-{uuid4().hex}"
        works = quick.create(probe, b"probe") and quick.read(probe) == b"probe" and not quick.create(probe, b"again")
        quick.delete(probe)
        if not works:
            raise StorageError(
                f"cannot use {self.location}: the server ignores If-None-Match and overwrites; {CONDITIONAL_WRITES}"
            )

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _items(self, prefix: str, **options: str) -> dict[str, Any]:
        """What S3 lists of the objects whose names start with `prefix`, by name."""
        pages = self._client.get_paginator("list_objects_v2")
        listing = pages.paginate(Bucket=self.bucket, Prefix=self._key(prefix), **options)
        skip = len(self._key(""))
        return self._request(
            "list", prefix, lambda: {i["Key"][skip:]: i for page in listing for i in page.get("Contents", [])}
        )

    def _get(self, name: str, largest: int = LARGEST) -> tuple[bytes | None, dict[str, Any]]:
        """The bytes under `name`, or None, and S3's answer."""

        def get() -> tuple[bytes | None, dict[str, Any]]:
            try:
                answer = self._client.get_object(Bucket=self.bucket, Key=self._key(name))
            except self._client.exceptions.NoSuchKey:
                return None, {}
            if answer["ContentLength"] <= largest:
                return answer["Body"].read(), answer
            raise too_large(f"{self.location}/{name}", answer["ContentLength"], largest)

        return self._request("read", name, get)

    def _put(self, name: str, data: bytes, **condition: str) -> bool:
        """Write `data` under `name`; return whether the condition held."""
        from botocore.exceptions import ClientError

        tries = 0

        def put() -> bool:
            nonlocal tries
            tries += 1
            try:
                self._client.put_object(Bucket=self.bucket, Key=self._key(name), Body=data, **condition)
                return True
            except ClientError as error:
                if condition and _code(error) in ("PreconditionFailed", "NoSuchKey"):
                    return False
                raise

        # If the answer to a successful write was lost, the retry fails on our own bytes.
        return self._request("write", name, put) or (tries > 1 and self.read(name) == data)

    def _request(self, action: str, name: str, request: Callable[[], Result]) -> Result:
        """The result of `request`, retried while the server is unreachable. Raises StorageError, of one line."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        deadline = time.monotonic() + self.retry_seconds
        pause = FIRST_PAUSE
        while True:
            try:
                return request()
            except (BotoCoreError, ClientError, ResponseParserError, RecursionError, ValueError) as error:
                remaining, is_transient = deadline - time.monotonic(), _is_transient(error)
                if remaining <= 0 or not is_transient:
                    kind = StorageAwayError if is_transient else StorageError
                    place = f"{self.location}/{name}".rstrip("/")
                    raise kind(f"cannot {action} {place}: {self._explanation(error)}") from error
            time.sleep(min(remaining, pause * random.uniform(0.5, 1)))  # noqa: S311
            pause = min(2 * pause, LONGEST_PAUSE)

    def _explanation(self, error: Exception) -> str:
        """The reason of an error of boto3, and the fix."""
        code = _code(error)
        endpoint = scrub(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS")
        if _is_transient(error):
            answers = getattr(error, "response", None)
            reason = f"{endpoint} answers {code}" if answers else f"no connection to {endpoint}"
            if code == "ResponseParserError":
                reason = f"{endpoint} answers, but not as S3 does"
            fix = "check AWS_ENDPOINT_URL and that the server runs"
            return f"{reason}, tried for {self.retry_seconds:g} s; {fix}"
        unknown = f"refused with {code}; check the AWS_* variables and the bucket"
        return REFUSALS.get(code, unknown).format(bucket=self.bucket, endpoint=endpoint)


def _code(error: Exception) -> str:
    """The server's error code, or the name of the exception where no server answered."""
    if CERTIFICATE in str(error):
        return CERTIFICATE
    response = getattr(error, "response", None) or {}
    code = response.get("Error", {}).get("Code") or type(error).__name__
    # Responses without a body, to HEAD requests or from a proxy, have only the status as a code.
    return {"403": "AccessDenied", "Forbidden": "AccessDenied", "412": "PreconditionFailed"}.get(code, code)


def _is_transient(error: Exception) -> bool:
    """Whether the same request may succeed later."""
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError, IncompleteReadError
    from botocore.parsers import ResponseParserError

    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return (status >= 500 and _code(error) != "NotImplemented") or status == 429 or _code(error) in NOT_NOW
    unreachable = isinstance(error, ConnectionError | HTTPClientError | IncompleteReadError | ResponseParserError)
    return unreachable and _code(error) != CERTIFICATE


@lru_cache(maxsize=8)
def _client(variables: tuple[tuple[str, str], ...], process: int, timeout: float) -> Any:
    """The S3 client for these AWS variables: one per process, since creating one takes longer than a request.

    Threads may share a client; a forked process may not use its parent's.
    """
    import boto3
    from botocore.config import Config

    # One attempt: `_request` decides how long to retry, and `_put` must count the attempts.
    config = Config(
        retries={"total_max_attempts": 1},
        connect_timeout=SHORTEST_TIMEOUT,
        read_timeout=timeout,
        max_pool_connections=READERS,
    )
    client = boto3.session.Session().client("s3", config=config)
    client.meta.events.register("after-call.s3", _check_answer)
    return client


def _check_answer(model: Any, parsed: dict[str, Any], **_: Any) -> None:
    """Refuse an answer of success that S3 cannot have given. Called by boto3 with every answer."""
    from botocore.parsers import ResponseParserError

    if parsed["ResponseMetadata"]["HTTPStatusCode"] < 300 and not (
        ANSWERS.get(model.name, set()) <= parsed.keys()
        and all(listed.keys() >= LISTED for listed in parsed.get("Contents", []))
    ):
        raise ResponseParserError(f"{model.name}: not an answer of S3")
