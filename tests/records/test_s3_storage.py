"""A bucket on a real server: its objects, its errors, and outages."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from support.commands import PATIENCE

from records import StorageError, open_storage
from records.s3_storage import S3Storage
from records.storage_interface import StorageAwayError

pytestmark = pytest.mark.slow
NOWHERE = "http://127.0.0.1:9"


def test_objects_lie_under_the_prefix_with_nothing_beside_them(bucket, s3_server):
    name = bucket.removeprefix("s3://")
    open_storage(f"{bucket}/deep/er/").write("sweep/sweep.json", b"{}")
    open_storage(bucket).write("top", b"1")
    assert s3_server.objects(name) == {"deep/er/sweep/sweep.json": b"{}", "top": b"1"}
    assert open_storage(f"{bucket}/deep").names("") == ["er/sweep/sweep.json"]


WRONG_VARIABLES = {
    "unknown key": (
        {"AWS_ACCESS_KEY_ID": "NOBODYS0KEY"},
        "the server does not know the access key; check AWS_ACCESS_KEY_ID",
    ),
    "wrong secret": (
        {"AWS_SECRET_ACCESS_KEY": "not-the-secret"},
        "the secret key does not fit the access key; check AWS_SECRET_ACCESS_KEY",
    ),
    "half a credential": (
        {"AWS_SECRET_ACCESS_KEY": None},
        "half of the credentials are missing; set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    "no credentials": ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "there are no credentials; set AWS"),
    "no such profile": ({"AWS_PROFILE": "nobody"}, "there is no such profile; correct or unset AWS_PROFILE"),
    "endpoint away": ({"AWS_ENDPOINT_URL": NOWHERE}, f"no connection to {NOWHERE}, tried for 3 s; check AWS_ENDPOINT"),
    "password in the endpoint": (
        {"AWS_ENDPOINT_URL": "http://someone:open-sesame@127.0.0.1:9"},
        "no connection to http://***@127.0.0.1:9",
    ),
    "endpoint without scheme": (
        {"AWS_ENDPOINT_URL": "localhost:8333"},
        "the endpoint is not well formed; set AWS_ENDPOINT_URL to http://HOST:PORT",
    ),
    "bad region": ({"AWS_DEFAULT_REGION": "no where!"}, "the region is not well formed; set AWS_DEFAULT_REGION"),
}


def message_of_check(location, server):
    """The error of `check`: one line with the location, and without the keys of any user."""
    with pytest.raises(StorageError) as caught:
        open_storage(location).check()
    message = str(caught.value)
    assert "\n" not in message
    assert location in message
    secrets = [server.admin.key, server.admin.secret, server.reader.key, server.reader.secret]
    for secret in (*secrets, "NOBODYS0KEY", "not-the-secret", "open-sesame"):
        assert secret not in message
    return message


@pytest.mark.parametrize(("variables", "problem"), WRONG_VARIABLES.values(), ids=WRONG_VARIABLES)
def test_wrong_variables_are_named_before_anything_starts(variables, problem, bucket, s3_server, tmp_path, monkeypatch):
    # The user who runs the tests may have credentials.
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    for name, value in variables.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    assert problem in message_of_check(f"{bucket}/prefix", s3_server)


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("s3://no-such-bucket/prefix", "there is no bucket 'no-such-bucket'; create it first, or correct its name"),
        ("s3://No_Bucket!/prefix", "'No_Bucket!' is not a valid bucket name"),
    ],
)
def test_a_wrong_bucket_is_named(location, problem, s3_environment):
    assert problem in message_of_check(location, s3_environment)


def test_a_key_that_may_not_write_is_refused_and_a_region_is_not_needed(bucket, s3_server, monkeypatch):
    open_storage(bucket).write("there", b"1")
    for name, value in s3_server.variables(s3_server.reader).items():
        monkeypatch.setenv(name, value)
    message = message_of_check(bucket, s3_server)
    assert "the access key has no permission; allow it to list, read, write and delete in bucket" in message
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert open_storage(bucket).read("there") == b"1", "enough for an analysis"


def test_a_server_that_never_answers_is_given_up_soon(bucket, s3_server, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        started = time.monotonic()
        message = message_of_check(bucket, s3_server)
    assert f"no connection to {endpoint}" in message
    assert time.monotonic() - started < 12


def test_a_server_that_overwrites_in_spite_of_the_condition_is_refused(bucket, s3_server, monkeypatch):
    put_object = s3_server.client.put_object
    monkeypatch.setattr(
        S3Storage, "_put", lambda self, name, data, **_: bool(put_object(Bucket=self.bucket, Key=name, Body=data))
    )
    assert "the server ignores If-None-Match and overwrites" in message_of_check(bucket, s3_server)
    assert s3_server.objects(bucket.removeprefix("s3://")) == {}


def test_an_outage_in_the_middle_loses_nothing(bucket, s3_server):
    storage = open_storage(bucket)
    storage.write("before", b"1")
    storage.write("lease", b"old")
    operations = (
        *((storage.write, "during", b"2"), (storage.read, "before"), (storage.names, ""), (storage.delete, "before")),
        *((storage.create, "created", b"3"), (storage.replace, "lease", b"old", b"new")),
    )
    with ThreadPoolExecutor(len(operations)) as pool:
        with s3_server.away():
            futures = [pool.submit(*operation) for operation in operations]
            assert wait(futures, timeout=2).done == set()
        results = [future.result(timeout=PATIENCE) for future in futures]
    assert results[4:] == [True, True]
    expected = {"during": b"2", "created": b"3", "lease": b"new"}
    assert storage.read_many(["before", *expected]) == expected


def test_an_outage_that_lasts_is_one_error(bucket, s3_server):
    message = rf"cannot write {bucket}/x: no connection to {s3_server.endpoint}, tried for 1 s; check AWS_ENDPOINT_URL"
    with s3_server.away(), pytest.raises(StorageAwayError, match=message):
        S3Storage(bucket, retry_seconds=1).write("x", b"1")
