"""The mirror on a real MLflow server, with its database in PostgreSQL, its artifacts in a bucket, and a password."""

import os
import time

import pytest
from mlflow.tracking import MlflowClient

from records import SweepRecords
from records.mirror import MirrorError, mirror_trial, open_experiment

pytestmark = pytest.mark.slow

KEY = "0123456789abcdef"
FILES = ("epochs.json", "maps.npz", "saliency.png")
GIVES_UP_WITHIN = 12.0
"""Seconds for a refused connection, a pause and a second try."""


@pytest.fixture
def server(mlflow_server, monkeypatch):
    """The server, with only its login in the environment: no key of the bucket's."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    for name, value in mlflow_server.variables().items():
        monkeypatch.setenv(name, value)
    return mlflow_server


def trials(server, experiment):
    return MlflowClient(server.uri).search_runs([experiment.experiment_id], "tags.kind = 'trial'")


def stored(server, run_id):
    """The artifacts of a run as they lie in the bucket, by the last part of their names."""
    objects = server.s3.objects(server.bucket)
    return {key.rsplit("/", 1)[1]: data for key, data in objects.items() if f"/{run_id}/artifacts/attribution/" in key}


def assert_whole(server, experiment, records, folder):
    """There is one run of the record, with its parameters, metrics and artifacts, which are downloaded to `folder`."""
    (run,) = trials(server, experiment)
    assert run.info.run_id == records.read(KEY)["mlflow_run_id"]
    assert run.info.status == "FINISHED"
    assert run.data.params["method"] == "actdiff"
    assert run.data.metrics["test_ood/auc"] == 0.75
    client = MlflowClient(server.uri)
    history = client.get_metric_history(run.info.run_id, "epoch/train/loss")
    assert {(m.step, m.value) for m in history} == {(0, 2.0), (1, 1.0)}
    client.download_artifacts(run.info.run_id, "attribution", str(folder))
    downloaded = {path.name: path.read_bytes() for path in (folder / "attribution").iterdir()}
    assert downloaded == stored(server, run.info.run_id) == {file: records.read_artifact(KEY, file) for file in FILES}


@pytest.mark.parametrize("password", ["wrong-password", None])
def test_a_wrong_or_missing_password_is_one_line_that_does_not_repeat_it(server, mirrored, monkeypatch, password):
    experiment = open_experiment(server.uri, "password")
    if password is None:
        monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
        monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    for action in (
        lambda: open_experiment(server.uri, "password"),
        lambda: mirror_trial(experiment, mirrored, mirrored.read(KEY)),
    ):
        with pytest.raises(MirrorError) as caught:
            action()
        assert str(caught.value) == (
            f"MLflow at {server.uri}: it refuses the login; check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    assert mirrored.read(KEY)["mlflow_run_id"] is None


def test_a_killed_server_is_an_error_within_seconds_and_loses_nothing(server, mirrored, tmp_path):
    experiment = open_experiment(server.uri, "killed")
    run_id = mirror_trial(experiment, mirrored, mirrored.read(KEY))
    with server.away():
        started = time.monotonic()
        with pytest.raises(MirrorError, match=rf"^MLflow at {server.uri}: [^\n]+$"):
            mirror_trial(experiment, mirrored, mirrored.read(KEY))
        assert time.monotonic() - started < GIVES_UP_WITHIN
    assert mirror_trial(experiment, mirrored, mirrored.read(KEY)) == run_id
    assert_whole(server, experiment, mirrored, tmp_path)


def test_a_server_killed_between_metrics_and_artifacts_leaves_one_run(server, mirrored, tmp_path):
    class KillsFirst(SweepRecords):
        def read_artifact(self, trial_key, file, *largest):
            if file == "maps.npz":
                server.kill()
            return super().read_artifact(trial_key, file, *largest)

    experiment = open_experiment(server.uri, "halfway")
    try:
        with pytest.raises(MirrorError):
            mirror_trial(experiment, KillsFirst(mirrored.storage, mirrored.name), mirrored.read(KEY))
    finally:
        server.start()
    assert mirrored.read(KEY)["mlflow_run_id"] is None
    (half,) = trials(server, experiment)
    assert stored(server, half.info.run_id) == {}
    assert mirror_trial(experiment, mirrored, mirrored.read(KEY)) == half.info.run_id
    assert_whole(server, experiment, mirrored, tmp_path)


def test_an_unreachable_bucket_is_an_error_and_loses_nothing(server, mirrored, tmp_path):
    experiment = open_experiment(server.uri, "bucket")
    with server.s3.away(), pytest.raises(MirrorError, match=rf"^MLflow at {server.uri}: [^\n]+$") as caught:
        mirror_trial(experiment, mirrored, mirrored.read(KEY))
    assert server.s3.admin.secret not in str(caught.value)
    mirror_trial(experiment, mirrored, mirrored.read(KEY))
    assert_whole(server, experiment, mirrored, tmp_path)
