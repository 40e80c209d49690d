"""One run for each record, with its parameters, metrics and artifacts."""

import json
import os
import subprocess
import sys

import pytest
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from records import Manifest, StorageError, SweepRecords, columns, mirror, mlflow_client, open_storage
from records.mirror import Experiment, MirrorError, mirror_sweep, mirror_trial, mirror_weights, open_experiment
from records.mlflow_client import LOCATION, SUFFIX, find_experiments

KEY = "0123456789abcdef"
MAPS = ["attribution/epochs.json", "attribution/maps.npz", "attribution/saliency.png"]


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
def client(database):
    return MlflowClient(database[0])


@pytest.fixture
def experiment(database, request):
    """A new experiment, named after the test."""
    uri, artifacts = database
    return open_experiment(uri, request.node.name, artifacts)


def paths(client, run_id, folder=None):
    return sorted(artifact.path for artifact in client.list_artifacts(run_id, folder))


@pytest.mark.slow
def test_a_trial_has_one_run_with_everything(client, experiment, mirrored):
    run_id = mirror_trial(experiment, mirrored, mirrored.read(KEY))
    assert mirror_trial(experiment, mirrored, mirrored.read(KEY)) == run_id
    assert mirrored.read(KEY)["mlflow_run_id"] == run_id
    assert mirror.mirrored_runs(experiment) == {KEY: run_id}
    (run,) = client.search_runs([experiment.experiment_id], "tags.kind = 'trial'")
    assert (run.info.run_id, run.info.status) == (run_id, "FINISHED")
    assert run.info.end_time - run.info.start_time == 2000
    assert run.info.run_name == "actdiff λ=0.125 s=0.5 seed=3 01234567"
    assert run.data.tags["mlflow.parentRunId"] == experiment.parent_run_id
    assert run.data.tags["trial_key"] == KEY
    settings = {"dataset": "synthetic", "severity": "0.5", "method": "actdiff", "strength": "0.125"}
    # The searcher is no setting, but the analysis reads it from here.
    searched = {"hp.lr": "0.001", "hp.searcher": "random"}
    assert run.data.params == {**settings, "seed": "3", "data_seed": "4", **searched}
    unplotted = {"test_ood.auc.half_1": 0.7, "test_ood.n": 64, "schema_version": columns.SCHEMA_VERSION}
    assert json.loads(run.data.tags["unplotted"]) == unplotted
    scores = {"test_ood/auc": 0.75, "test_id/auc_outside_swapped": 0.625}
    assert run.data.metrics == {**scores, "epoch/train/loss": 1.0, "best_epoch": 1, "train_seconds": 2.0}
    history = client.get_metric_history(run_id, "epoch/train/loss")
    assert {(m.step, m.value) for m in history} == {(0, 2.0), (1, 1.0)}
    assert paths(client, run_id, "attribution") == MAPS


@pytest.mark.slow
def test_opening_again_finds_the_same_parent_and_it_takes_table_and_report(client, experiment, mirrored, tmp_path):
    assert open_experiment(experiment.tracking_uri, client.get_experiment(experiment.experiment_id).name) == experiment
    (tmp_path / "report").mkdir()
    (tmp_path / "report/report.html").write_text("<p>report</p>")
    mirrored.write_table(mirrored.load().records)
    mirrored.write_manifest(Manifest(space="smoke"))
    for answer, number in (("no", 5), ("yes", 6)):
        mirror.mark_running(experiment)
        assert not mirror.sweep_is_mirrored(experiment)
        numbers = {"n_trials": number, "undefined": float("nan")}
        mirror_sweep(experiment, mirrored, tmp_path / "report", {"answer": answer}, numbers, {}, done=True)
    assert mirror.sweep_is_mirrored(experiment)
    run = client.get_run(experiment.parent_run_id)
    assert (run.data.tags["answer"], run.data.metrics) == ("yes", {"n_trials": 6.0})
    assert paths(client, run.info.run_id) == ["report", "sweep.json", "trials.parquet"]
    assert paths(client, run.info.run_id, "report") == ["report/report.html"]


@pytest.mark.slow
def test_a_sweeps_run_keeps_what_was_declared_and_takes_what_changes(client, experiment, mirrored):
    numbers = {"comparison/seed/rho": 0.5, "comparison/seed/ci_low": None}
    mirror_sweep(experiment, mirrored, None, {"seeds": "0"}, numbers, {"space": "smoke"}, done=False)
    assert client.get_run(experiment.parent_run_id).info.status == "KILLED"
    numbers = {"comparison/seed/rho": 0.25, **{f"mean/test_ood/auc/method {n}": n / 3000 for n in range(2500)}}
    params = {"space": "other", "primary": "p"}
    mirror_sweep(experiment, mirrored, None, {"seeds": "0 to 9"}, numbers, params, done=True)
    run = client.get_run(experiment.parent_run_id)
    assert run.data.params == {"space": "smoke", "primary": "p"}
    assert run.data.tags["seeds"] == "0 to 9"
    assert run.data.metrics == numbers


@pytest.mark.slow
def test_sweeps_are_listed_by_last_use(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    ids = {name: open_experiment(uri, name, tmp_path.as_uri()).experiment_id for name in ("one", "two", "one")}
    MlflowClient(uri).create_experiment("of another program")
    assert list(mirror.experiments(uri).items()) == [("one", ids["one"]), ("two", ids["two"])]


def test_requests_to_an_unreachable_server_give_up_soon(monkeypatch):
    """MLflow itself would try seven times."""
    for variable in (MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT):
        monkeypatch.delenv(variable.name, raising=False)
    limits = []

    def get_run(*_):
        limits.append((MLFLOW_HTTP_REQUEST_MAX_RETRIES.get(), MLFLOW_HTTP_REQUEST_TIMEOUT.get()))
        raise ConnectionError

    monkeypatch.setattr(MlflowClient, "get_run", get_run)
    with pytest.raises(MirrorError):
        mirror.sweep_is_mirrored(Experiment("http://127.0.0.1:9", "1", "a run"))
    assert limits == [(1, 10)]
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(MirrorError, match=r"MLflow at http://127\.0\.0\.1:9: "):
        open_experiment("http://127.0.0.1:9", "away")


def test_a_refused_login_says_what_to_check(monkeypatch):
    def refused(*_, **__):
        raise MlflowException("API request failed with error code 401 != 200. Response body: 'no'")

    monkeypatch.setattr(MlflowClient, "search_experiments", refused)
    with pytest.raises(MirrorError, match="it refuses the login; check MLFLOW_TRACKING_USERNAME"):
        find_experiments("http://127.0.0.1:9", SweepRecords(open_storage("none"), "mine"))


def test_a_trial_that_failed_and_then_completes_loses_its_error(client, experiment, mirrored, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "of another program")
    record = mirrored.read(KEY)
    run_id = mirror_trial(experiment, mirrored, {**record, "status": "failed", "error": "ValueError: no"})
    run = client.get_run(run_id)
    assert (run.info.status, run.data.tags["error"]) == ("FAILED", "ValueError: no")
    assert run.data.tags["mlflow.parentRunId"] == experiment.parent_run_id
    assert mirror_trial(experiment, mirrored, record) == run_id
    run = client.get_run(run_id)
    assert (run.info.status, run.data.tags["status"], run.data.tags.get("error")) == ("FINISHED", "completed", None)


def test_a_trial_that_failed_may_be_repeated_with_its_images_elsewhere(client, experiment, mirrored):
    record = mirrored.read(KEY)
    places = {"dataset": "folder:/laptop/images", "hp.root": "/laptop"}
    mirror_trial(experiment, mirrored, {**record, **places, "status": "failed", "error": "OSError: no"})
    run_id = mirror_trial(experiment, mirrored, record | places | {"dataset": "folder:/cluster/images"})
    run = client.get_run(run_id)
    assert (run.info.status, run.data.params["dataset"]) == ("FINISHED", "folder:/laptop/images")
    assert (run.data.tags["dataset"], run.data.tags.get("hp.root")) == ("folder:/cluster/images", None)
    mirror_trial(experiment, mirrored, record | places)
    assert "dataset" not in client.get_run(run_id).data.tags


def test_all_runs_are_read_in_pages_and_twins_left_by_a_dying_server_are_removed(
    client, experiment, mirrored, monkeypatch
):
    ids = [
        client.create_run(experiment.experiment_id, start, tags={"trial_key": key, "kind": "trial"}).info.run_id
        for start, key in enumerate(["a", "b", "b", "c", KEY, KEY])
    ]
    assert mirror_trial(experiment, mirrored, mirrored.read(KEY)) == ids[4]
    monkeypatch.setattr(mlflow_client, "PAGE", 2)
    assert mirror.mirrored_runs(experiment) == {"a": ids[0], "b": ids[1], "c": ids[3], KEY: ids[4]}
    assert len(client.search_runs([experiment.experiment_id], "tags.kind = 'trial'")) == 4


@pytest.mark.slow
def test_weights_are_in_a_folder_of_their_own_and_may_come_later(client, experiment, mirrored):
    mirrored.write_artifact(KEY, "weights.pt", b"first")
    run_id = mirror_trial(experiment, mirrored, mirrored.read(KEY), weights=False)
    assert paths(client, run_id) == ["attribution"]
    mirror_weights(experiment, mirrored, {KEY: run_id}, ["of no run", KEY])
    assert paths(client, run_id, "weights") == ["weights/weights.pt"]
    mirrored.write_artifact(KEY, "weights.pt", b"second")
    mirror_weights(experiment, mirrored, {KEY: run_id}, [KEY])
    with open(client.download_artifacts(run_id, "weights/weights.pt"), "rb") as file:
        assert file.read() == b"first", "existing weights are not sent again"
    client.delete_run(run_id)
    run_id = mirror_trial(experiment, mirrored, mirrored.read(KEY))
    assert paths(client, run_id, "weights") == ["weights/weights.pt"]
    assert paths(client, run_id, "attribution") == MAPS


@pytest.mark.slow
def test_an_interrupted_deletion_is_found_again_under_its_own_name_only(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    ids = {sweep: open_experiment(uri, sweep, tmp_path.as_uri()).experiment_id for sweep in ("aXb", "a_b")}
    client = MlflowClient(uri)
    client.rename_experiment(ids["aXb"], f"aXb{SUFFIX}2026-01-02 03:04:05)")
    storage = open_storage(tmp_path)
    assert [e.experiment_id for e in find_experiments(uri, SweepRecords(storage, "aXb"))] == [ids["aXb"]]
    client.delete_experiment(ids["a_b"])
    assert find_experiments(uri, SweepRecords(storage, "a_b")) == [], "an underscore stands for itself"


def test_an_experiment_knows_its_storage_also_after_a_move(database, client, tmp_path, request):
    """An experiment without tags, of an earlier version, or deleted in MLflow, is taken over."""
    uri, artifacts = database
    name, places = request.node.name, [tmp_path / name for name in ("here", "moved", "other")]
    before = open_experiment(uri, name, artifacts)
    assert open_experiment(uri, name, storage=open_storage(places[0])) == before
    places[0].rename(places[1])
    assert open_experiment(uri, name, storage=open_storage(places[1])) == before
    assert client.get_experiment(before.experiment_id).tags[LOCATION].startswith(f"{places[1]} on ")
    with pytest.raises(StorageError, match=f"'{name}' belongs to the storage {places[1]} on .* one is {places[2]} on"):
        open_experiment(uri, name, storage=open_storage(places[2]))
    client.delete_experiment(before.experiment_id)
    assert open_experiment(uri, name, storage=open_storage(places[2])) == before
