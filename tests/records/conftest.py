"""A sweep of one trial that tests mirror into MLflow."""

import json

import pytest

from records import SweepRecords, columns, open_storage

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
