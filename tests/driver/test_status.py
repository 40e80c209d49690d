"""What --status counts: the records as they are now, whatever the table says, and without keeping them."""

import io
import tracemalloc

import pytest
from rich.console import Console

from driver.view.status import show_status
from records import Manifest, SweepRecords, columns, open_storage, store

TRIALS = 400
TEXT = 20_000


def record(number, status="completed", **more):
    trial = {"dataset": "synthetic", "severity": 1.0, "method": "rrr", "strength": 1.0, "seed": number, "data_seed": 0}
    key = {"trial_key": f"{number:016x}", "schema_version": columns.SCHEMA_VERSION}
    return {**key, **trial, "status": status, "started_at": f"2026-01-01T00:00:{number % 60:02}+00:00", **more}


def status(records):
    out = io.StringIO()
    show_status(Console(file=out, width=400), records.storage.location, records.name, "none", "")
    return out.getvalue()


@pytest.fixture
def records(tmp_path):
    made = SweepRecords(open_storage(tmp_path), "counted")
    made.write_manifest(Manifest(space="smoke", planned_trials=6))
    return made


def test_it_counts_records_and_not_the_table(records):
    for number in range(4):
        records.write(record(number))
    records.write(record(4, "failed", error="ValueError: no\nin line 3"))
    records.write_table(records.load().records)
    records.storage.delete(f"counted/records/{0:016x}.json")
    records.storage.write(f"counted/records/{1:016x}.json", b"{")
    records.write(record(2, "failed", error="ValueError: no"))
    records.write(record(4, mlflow_run_id="run"))
    records.write(record(5, "diverged", error="loss is nan"))
    for table in (records.storage.read("counted/trials.parquet"), b"PAR1"):
        records.storage.write("counted/trials.parquet", table)
        shown = status(records)
        assert "4 of 6 trials done: 2 completed, 1 failed, 1 diverged" in shown
        assert "  1 x ValueError: no\n  1 x loss is nan\nLast error, trial 0000000000000005 (rrr on synthe" in shown
        assert "3 trials are not in MLflow yet" in shown
        assert "1 file is not a readable record" in shown


def test_it_keeps_no_records(records, monkeypatch):
    monkeypatch.setattr(store, "SLICE", 20)
    for number in range(TRIALS):
        records.write(record(number, error=f"ValueError: no\n{'x' * TEXT}"))
    tracemalloc.start()
    assert f"{TRIALS} completed" in status(records)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < TRIALS * TEXT / 3
