"""A sweep of one trial that tests mirror into MLflow, and S3 in memory."""

import hashlib
import io
import json
from datetime import UTC, datetime
from email.utils import format_datetime
from threading import Lock

import pytest
from botocore.exceptions import ClientError

from records import SweepRecords, columns, open_storage, s3_storage

KEY = "0123456789abcdef"
ARTIFACTS = {
    "epochs.json": json.dumps([{"train.loss": 2.0}, {"train.loss": 1.0}]).encode(),
    "maps.npz": bytes(range(256)) * 2000,
    "saliency.png": b"\x89PNG\r\n\x1a\n" + bytes(5000),
}


@pytest.fixture
def mirrored(tmp_path) -> SweepRecords:
    """The records and artifacts of the sweep."""
    records = SweepRecords(open_storage(tmp_path), "mirrored")
    for file, data in ARTIFACTS.items():
        records.write_artifact(KEY, file, data)
    settings = {"dataset": "synthetic", "severity": 0.5, "method": "actdiff", "strength": 0.125}
    record = {"trial_key": KEY, "sweep": "mirrored", "status": "completed", "error": None, **settings}
    record |= {"seed": 3, "data_seed": 4, "best_epoch": 1, "hp.lr": 0.001, "hp.searcher": "random"}
    record |= {"test_ood.auc": 0.75, "test_id.auc_outside_zeroed": None, "test_id.auc_outside_swapped": 0.625}
    record |= {"test_ood.auc.half_1": 0.7, "test_ood.n": 64, "test_ood.iou.occlusion": None, "train_seconds": 2.0}
    record |= {"started_at": "2026-01-02T03:04:05+00:00", "mlflow_run_id": None}
    records.write({**record, "schema_version": columns.SCHEMA_VERSION})
    return records


class NoSuchKeyError(ClientError):
    """A missing object."""


class Client:
    """The part of boto3's S3 client that a storage uses, with objects in memory."""

    exceptions = type("Exceptions", (), {"NoSuchKey": NoSuchKeyError})

    def __init__(self):
        self.objects: dict[str, bytes] = {}
        self.written = datetime.now(UTC)
        self.lock = Lock()

    def put_object(self, *, Bucket, Key, Body, IfNoneMatch=None, IfMatch=None):
        with self.lock:
            if (IfNoneMatch and Key in self.objects) or (IfMatch and IfMatch != tag(self.objects.get(Key))):
                raise ClientError({"Error": {"Code": "412"}}, "PutObject")
            self.objects[Key] = Body

    def get_object(self, *, Bucket, Key):
        if (data := self.objects.get(Key)) is None:
            raise NoSuchKeyError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        date = {"HTTPHeaders": {"date": format_datetime(datetime.now(UTC))}}
        answer = {"LastModified": self.written, "ResponseMetadata": date}
        return {"Body": io.BytesIO(data), "ETag": tag(data), "ContentLength": len(data), **answer}

    def delete_object(self, *, Bucket, Key):
        with self.lock:
            self.objects.pop(Key, None)

    def delete_objects(self, *, Bucket, Delete):
        for each in Delete["Objects"]:
            self.delete_object(Bucket=Bucket, **each)
        return {}

    def list_objects_v2(self, *, Bucket, Prefix="", MaxKeys=1000, Delimiter=None):
        listed = {key: data for key, data in self.objects.copy().items() if key.startswith(Prefix)}
        facts = {"LastModified": self.written}
        return {"Contents": [{"Key": k, "Size": len(v), "ETag": tag(v), **facts} for k, v in listed.items()]}

    def get_paginator(self, name):
        return type("Paginator", (), {"paginate": lambda _, **options: [self.list_objects_v2(**options)]})()


def tag(data: bytes | None) -> str:
    return "" if data is None else hashlib.sha256(data).hexdigest()


@pytest.fixture
def s3_in_memory(monkeypatch) -> Client:
    """The client of all S3 storages."""
    client = Client()
    monkeypatch.setattr(s3_storage, "_client", lambda *_: client)
    return client
