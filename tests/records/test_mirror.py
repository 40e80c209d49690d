"""One run for each record, with its parameters, metrics and artifacts."""

import json
import os
import subprocess
import sys

import pytest
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.tracking import MlflowClient

from records import Manifest, SweepRecords, columns, mirror, mlflow_client, open_storage
from records.mirror import Experiment, MirrorError, mirror_sweep, mirror_trial, mirror_weights, open_experiment

KEY = "0123456789abcdef"


@pytest.mark.slow
def test_mlflow_sends_no_telemetry():
    # In a process of its own, and without what a test environment sets: MLflow decides when it is imported.
    program = "import records; import mlflow.telemetry as t; print(t.get_telemetry_client())"
    kept = {k: v for k, v in os.environ.items() if k not in ("CI", "MLFLOW_DISABLE_TELEMETRY", "PYTEST_CURRENT_TEST")}
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=kept)
    assert ran.stdout.split() == ["None"], ran.stderr


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    return f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()


@pytest.fixture
def records(tmp_path):
    records = SweepRecords(open_storage(tmp_path), "mirrored")
    records.write_artifact(KEY, "epochs.json", json.dumps([{"train.loss": 2.0}, {"train.loss": 1.0}]).encode())
    records.write_artifact(KEY, "maps.npz", b"maps")
    records.write(
        {
            "trial_key": KEY,
            "sweep": "mirrored",
            "status": "completed",
            "error": None,
            "dataset": "synthetic",
            "severity": 0.5,
            "method": "actdiff",
            "strength": 0.125,
            "seed": 3,
            "data_seed": 4,
            "best_epoch": 1,
            "hp.lr": 0.001,
            "hp.searcher": "random",
            "test_ood.auc": 0.75,
            "test_id.auc_outside_zeroed": None,
            "test_id.auc_outside_swapped": 0.625,
            "test_ood.auc.half_1": 0.7,
            "test_ood.n": 64,
            "test_ood.iou.occlusion": None,
            "train_seconds": 2.0,
            "started_at": "2026-01-02T03:04:05+00:00",
            "schema_version": columns.SCHEMA_VERSION,
            "mlflow_run_id": None,
        }
    )
    return records


@pytest.mark.slow
def test_a_trial_has_one_run_with_everything(database, records, tmp_path):
    uri, artifacts = database
    experiment = open_experiment(uri, "mirrored", artifacts)
    run_id = mirror_trial(experiment, records, records.read(KEY))
    assert mirror_trial(experiment, records, records.read(KEY)) == run_id
    assert records.read(KEY)["mlflow_run_id"] == run_id

    client = MlflowClient(uri)
    runs = client.search_runs([experiment.experiment_id], "tags.kind = 'trial'")
    assert [run.info.run_id for run in runs] == [run_id]
    run = runs[0]
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == 2000
    assert run.data.tags["mlflow.parentRunId"] == experiment.parent_run_id
    assert run.data.tags["trial_key"] == KEY
    assert run.data.params == {
        "dataset": "synthetic",
        "severity": "0.5",
        "method": "actdiff",
        "strength": "0.125",
        "seed": "3",
        "data_seed": "4",
        "hp.lr": "0.001",
        "hp.searcher": "random",  # no setting, but the analysis reads it from here
    }
    assert run.info.run_name == "actdiff λ=0.125 s=0.5 seed=3 01234567"  # by its key where nothing else is known
    assert run.data.metrics["test_ood/auc"] == 0.75
    assert json.loads(run.data.tags["unplotted"]) == {
        "test_ood.auc.half_1": 0.7,
        "test_ood.n": 64,
        "schema_version": columns.SCHEMA_VERSION,
    }
    assert set(run.data.metrics) == {
        "epoch/train/loss",
        "test_ood/auc",
        "test_id/auc_outside_swapped",
        "best_epoch",
        "train_seconds",
    }
    assert run.data.metrics["test_id/auc_outside_swapped"] == 0.625
    assert "test_id/auc_outside_zeroed" not in run.data.metrics
    assert "test_ood/iou/occlusion" not in run.data.metrics
    history = client.get_metric_history(run_id, "epoch/train/loss")
    assert {(m.step, m.value) for m in history} == {(0, 2.0), (1, 1.0)}
    assert sorted(a.path for a in client.list_artifacts(run_id, "attribution")) == [
        "attribution/epochs.json",
        "attribution/maps.npz",
    ]


@pytest.mark.slow
def test_opening_again_finds_the_same_parent_and_it_takes_table_and_report(database, records, tmp_path):
    uri, artifacts = database
    first = open_experiment(uri, "parent", artifacts)
    assert open_experiment(uri, "parent", artifacts) == first
    (tmp_path / "report").mkdir()
    (tmp_path / "report/report.html").write_text("<p>report</p>")
    records.write_table(records.load().records)
    records.write_manifest(Manifest(space="smoke"))
    folder = tmp_path / "report"
    for answer, number in (("no", 5), ("yes", 6)):
        mirror.mark_running(first)
        assert MlflowClient(uri).get_run(first.parent_run_id).info.status == "RUNNING"
        numbers = {"n_trials": number, "undefined": float("nan")}
        mirror_sweep(first, records, folder, {"answer": answer}, numbers, {}, done=True)
    client = MlflowClient(uri)
    run = client.get_run(first.parent_run_id)
    assert (run.info.status, run.data.tags["answer"], run.data.metrics) == ("FINISHED", "yes", {"n_trials": 6.0})
    assert [a.path for a in client.list_artifacts(first.parent_run_id, "report")] == ["report/report.html"]
    assert {a.path for a in client.list_artifacts(first.parent_run_id)} == {"report", "sweep.json", "trials.parquet"}


@pytest.mark.slow
def test_a_sweeps_run_keeps_what_was_declared_and_takes_what_changes(database, records):
    uri, artifacts = database
    experiment = open_experiment(uri, "declared", artifacts)
    numbers = {"comparison/seed/rho": 0.5, "comparison/seed/ci_low": None}
    mirror_sweep(experiment, records, None, {"seeds": "0"}, numbers, {"space": "smoke"}, done=False)
    numbers = {"comparison/seed/rho": 0.25, **{f"mean/test_ood/auc/method {n}": n / 3000 for n in range(2500)}}
    params = {"space": "other", "primary": "p"}
    mirror_sweep(experiment, records, None, {"seeds": "0 to 9"}, numbers, params, done=True)
    run = MlflowClient(uri).get_run(experiment.parent_run_id)
    assert run.data.params == {"space": "smoke", "primary": "p"}
    assert run.data.tags["seeds"] == "0 to 9"
    assert run.data.metrics == numbers


@pytest.mark.slow
def test_sweeps_are_listed_by_last_use(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    ids = {name: open_experiment(uri, name, tmp_path.as_uri()).experiment_id for name in ("one", "two", "one")}
    MlflowClient(uri).create_experiment("somebody else's")
    assert list(mirror.experiments(uri).items()) == [("one", ids["one"]), ("two", ids["two"])]


def test_an_unreachable_server_is_an_error(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(MirrorError, match=r"MLflow at http://127\.0\.0\.1:9: "):
        open_experiment("http://127.0.0.1:9", "away")


def test_requests_to_an_unreachable_server_give_up_soon(monkeypatch):
    """MLflow itself would try seven times."""
    for variable in (MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT):
        monkeypatch.delenv(variable.name, raising=False)
    asked = []

    def get_run(*_):
        asked.append((MLFLOW_HTTP_REQUEST_MAX_RETRIES.get(), MLFLOW_HTTP_REQUEST_TIMEOUT.get()))
        raise ConnectionError

    monkeypatch.setattr(MlflowClient, "get_run", get_run)
    with pytest.raises(MirrorError):
        mirror.sweep_is_mirrored(Experiment("http://127.0.0.1:9", "1", "a run"))
    assert asked == [(1, 10)]


def test_a_run_id_in_the_environment_is_not_taken_over(database, records, monkeypatch):
    uri, artifacts = database
    experiment = open_experiment(uri, "environment", artifacts)
    monkeypatch.setenv("MLFLOW_RUN_ID", "someone-elses")
    run_id = mirror_trial(experiment, records, records.read(KEY))
    assert MlflowClient(uri).get_run(run_id).data.tags["mlflow.parentRunId"] == experiment.parent_run_id


def test_a_trial_that_failed_and_then_completes_loses_its_error(database, records):
    uri, artifacts = database
    experiment, record = open_experiment(uri, "again", artifacts), records.read(KEY)
    failed = mirror_trial(experiment, records, {**record, "status": "failed", "error": "ValueError: no"})
    assert MlflowClient(uri).get_run(failed).data.tags["error"] == "ValueError: no"
    assert mirror_trial(experiment, records, record) == failed
    run = MlflowClient(uri).get_run(failed)
    assert (run.info.status, run.data.tags["status"], run.data.tags.get("error")) == ("FINISHED", "completed", None)


def test_a_trial_that_failed_may_be_repeated_with_its_images_elsewhere(database, records):
    uri, artifacts = database
    experiment, record = open_experiment(uri, "moved", artifacts), records.read(KEY)
    places = {"dataset": "folder:/laptop/images", "hp.root": "/laptop"}
    mirror_trial(experiment, records, {**record, **places, "status": "failed", "error": "OSError: no"})
    run_id = mirror_trial(experiment, records, record | {"dataset": "folder:/cluster/images", "hp.root": "/laptop"})
    run = MlflowClient(uri).get_run(run_id)
    assert (run.info.status, run.data.params["dataset"]) == ("FINISHED", "folder:/laptop/images")
    assert (run.data.tags["dataset"], run.data.tags.get("hp.root")) == ("folder:/cluster/images", None)
    mirror_trial(experiment, records, record | places)
    assert "dataset" not in MlflowClient(uri).get_run(run_id).data.tags


def test_a_twin_left_by_a_dying_server_is_removed(database, records):
    uri, artifacts = database
    experiment = open_experiment(uri, "twins", artifacts)
    client = MlflowClient(uri)
    for _ in range(2):
        client.create_run(experiment.experiment_id, tags={"trial_key": KEY, "kind": "trial"})
    run_id = mirror_trial(experiment, records, records.read(KEY))
    runs = client.search_runs([experiment.experiment_id], f"tags.trial_key = '{KEY}'")
    assert [run.info.run_id for run in runs] == [run_id]


def test_all_runs_are_read_in_pages_without_twins(database, monkeypatch):
    uri, artifacts = database
    experiment, client = open_experiment(uri, "pages", artifacts), MlflowClient(uri)
    ids = [
        client.create_run(experiment.experiment_id, start, tags={"trial_key": key, "kind": "trial"}).info.run_id
        for start, key in enumerate("abbc")
    ]
    monkeypatch.setattr(mlflow_client, "PAGE", 2)
    assert mirror.mirrored_runs(experiment) == {"a": ids[0], "b": ids[1], "c": ids[3]}
    assert len(client.search_runs([experiment.experiment_id], "tags.kind = 'trial'")) == 3


@pytest.mark.slow
def test_weights_are_in_a_folder_of_their_own_and_may_come_later(database, records):
    uri, artifacts = database
    experiment = open_experiment(uri, "weights", artifacts)
    client = MlflowClient(uri)

    def files(folder):
        return [artifact.path for artifact in client.list_artifacts(run_id, folder)]

    records.write_artifact(KEY, "weights.pt", b"first")
    run_id = mirror_trial(experiment, records, records.read(KEY), weights=False)
    assert files("attribution") == ["attribution/epochs.json", "attribution/maps.npz"]
    assert files("weights") == []
    mirror_weights(experiment, records, {KEY: run_id}, ["of no run", KEY])
    assert files("weights") == ["weights/weights.pt"]
    records.write_artifact(KEY, "weights.pt", b"second")
    mirror_weights(experiment, records, {KEY: run_id}, [KEY])
    with open(client.download_artifacts(run_id, "weights/weights.pt"), "rb") as file:
        assert file.read() == b"first", "what is there is not sent again"
    client.delete_run(run_id)
    run_id = mirror_trial(experiment, records, records.read(KEY))
    assert files("weights") == ["weights/weights.pt"]
    assert files("attribution") == ["attribution/epochs.json", "attribution/maps.npz"]
