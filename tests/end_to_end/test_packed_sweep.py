"""A sweep whose trials are packed, by the real command."""

import json

import faults
import pytest
from commands import run_sweep
from mlflow.tracking import MlflowClient

pytestmark = pytest.mark.slow


def test_each_trial_of_a_pack_is_counted_and_has_its_record_and_run(tmp_path):
    """Three trials that differ in severity and seeds: a pack of two, and one alone."""
    small = (*faults.SMALL, "--set", "method=gradmask", "--set", "attributions=input_gradient")
    ran = run_sweep(tmp_path, *small, "--dataset", "synthetic", "--max-trials", "3", "--name", "packed", "--pack", "2")
    assert ran.code == 0, ran
    assert "2 of 3 trials train in 1 packs of at most 2, the others alone" in ran.out
    assert "3/3 trials done" in ran.out
    records = [json.loads(path.read_text()) for path in (tmp_path / "sweeps/packed/records").iterdir()]
    assert [record["status"] for record in records] == ["completed"] * 3
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    for record in records:
        run = client.get_run(record["mlflow_run_id"])
        assert run.data.tags["trial_key"] == record["trial_key"]
        assert run.data.metrics["test_ood.auc"] == record["test_ood.auc"]
    (log,) = (tmp_path / "sweeps/packed/logs").iterdir()
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert {e["trial_key"] for e in events if e["event"] == "trial"} == {record["trial_key"] for record in records}
