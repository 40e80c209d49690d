"""Errors of single requests to S3, on objects in memory."""

import time

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from records import StorageError, open_storage


def failing(operation, *errors, after=False):
    """`operation`, whose first calls raise `errors` before they reach the server, or after."""
    remaining = list(errors)

    def call(**arguments):
        if remaining:
            if after:
                operation(**arguments)
            raise remaining.pop(0)
        return operation(**arguments)

    return call


def server_error(status, code):
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")


def test_an_error_of_the_server_is_tried_again_and_a_refusal_is_not(s3_in_memory, monkeypatch):
    storage = open_storage("s3://bucket/prefix")
    put_object = storage._client.put_object
    passing = [server_error(500, "InternalError"), server_error(503, "SlowDown"), server_error(400, "RequestTimeout")]
    monkeypatch.setattr(storage._client, "put_object", failing(put_object, *passing))
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    storage.write("x", b"1")
    assert [0.1, 0.2, 0.4] <= pauses <= [0.2, 0.4, 0.8]
    assert storage.read("x") == b"1"

    monkeypatch.setattr(storage._client, "put_object", failing(put_object, server_error(400, "EntityTooLarge")))
    with pytest.raises(StorageError, match=r"cannot write s3://.*/x: refused with EntityTooLarge; check the AWS_"):
        storage.write("x", b"2")
    assert storage.read("x") == b"1"


def test_an_answer_lost_on_its_way_does_not_hide_who_won(s3_in_memory, monkeypatch):
    storage = open_storage("s3://bucket/prefix")
    put_object = storage._client.put_object
    lost = ConnectionClosedError(endpoint_url="it")

    monkeypatch.setattr(storage._client, "put_object", failing(put_object, lost, after=True))
    assert storage.create("lease", b"mine") is True
    monkeypatch.setattr(storage._client, "put_object", failing(put_object, lost, after=True))
    assert storage.replace("lease", b"mine", b"mine again") is True
    assert storage.read("lease") == b"mine again"

    # Another process came first: the try that was lost never reached the server.
    monkeypatch.setattr(storage._client, "put_object", failing(put_object, lost))
    assert storage.create("lease", b"theirs") is False
    assert storage.read("lease") == b"mine again"
