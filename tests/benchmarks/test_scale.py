"""The benchmark of large sweeps uses as many records and runs as stated, like those of a sweep."""

import json

import pytest
from mlflow.tracking import MlflowClient

from benchmarks import scale
from benchmarks.copies import real_trial, varied
from benchmarks.scale import SWEEP
from records import columns


@pytest.mark.slow
def test_records_are_copies_with_other_settings_and_scores(tmp_path):
    (record,) = real_trial(tmp_path).load().records
    made = list(varied(record, [{"trial_key": "a", "seed": 1}, {"trial_key": "b", "method": "rrr"}]))
    assert [(r["trial_key"], r["seed"], r["method"]) for r in made] == [("a", 1, "baseline"), ("b", 0, "rrr")]
    assert all(r.keys() == record.keys() for r in made)
    score = columns.localisation("test_ood", "iou", "occlusion")
    assert len({r[score] for r in (record, *made)}) == 3
    assert all(0 <= r[score] <= 1 and r["test_ood.loss"] >= 0 for r in made)


@pytest.mark.slow
def test_copied_runs_equal_the_run_of_mlflow(tmp_path, monkeypatch):
    monkeypatch.setattr(scale, "SAMPLE", 3)
    steps = scale.timed(scale.sqlite, tmp_path, 20)
    assert [(step["size"], step["timed"]) for step in steps] == [(20, 3), (20, 3), (20, 1)]
    client = MlflowClient(f"sqlite:///{tmp_path / 'sqlite-20' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(SWEEP)
    runs = client.search_runs([experiment.experiment_id], "tags.kind = 'trial'")
    copies = [run for run in runs if not run.data.tags["trial_key"].startswith("0" * 15)]
    assert (len(runs), len(copies)) == (23, 20)
    assert len({run.data.tags["trial_key"] for run in copies}) == 20
    (one,) = (run for run in copies if run.info.run_id in run.info.artifact_uri)
    for run in copies:
        assert (run.data.metrics, run.data.params) == (one.data.metrics, one.data.params)
        assert run.data.tags | {"trial_key": ""} == one.data.tags | {"trial_key": ""}
    history = client.get_metric_history(copies[-1].info.run_id, "epoch/train/loss")
    assert sorted(metric.step for metric in history) == [0, 1]


@pytest.mark.slow
def test_parts_are_timed_on_the_given_number_of_records(tmp_path):
    steps = [
        step for measure in (scale.write, scale.plan, scale.records) for step in scale.timed(measure, tmp_path, 35)
    ]
    assert {(step["size"], step["timed"]) for step in steps} == {(35, 35)}
    assert len({step["step"] for step in steps}) == len(steps) == 6
    files = list((tmp_path / "35").glob("*/records/*.json"))
    assert len({json.loads(file.read_text())["trial_key"] for file in files}) == 35
