"""A sweep with its records in a bucket and its mirror on an MLflow server: whole, through outages, without secrets."""

import json
import time

import pytest
from mlflow.tracking import MlflowClient
from support.commands import PATIENCE, TINY, run_sweep, running_sweep, wait_until
from support.faults import records_of
from support.recorded import results
from typer.testing import CliRunner

import sweep

pytestmark = pytest.mark.slow
OUTAGE_SECONDS = 30


@pytest.fixture
def variables(s3_server, mlflow_server) -> dict[str, str]:
    return {**s3_server.variables(), **mlflow_server.variables()}


def stored_records(s3_server, bucket, sweep):
    found = s3_server.objects(bucket.removeprefix("s3://"), f"study/{sweep}/records/")
    return {name.rsplit("/", 1)[1].removesuffix(".json"): json.loads(data) for name, data in found.items()}


def runs_of(mlflow_server, variables, monkeypatch, sweep):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client = MlflowClient(mlflow_server.uri)
    experiment = client.get_experiment_by_name(sweep).experiment_id
    return client, client.search_runs([experiment], "tags.kind = 'trial'")


def test_a_sweep_in_a_bucket_and_on_a_server_gives_the_records_of_one_in_a_folder(
    s3_server, mlflow_server, bucket, variables, tmp_path, tiny_sweep, monkeypatch
):
    command = (*TINY, "--name", "cloud", "--concurrency", "1", "--storage", f"{bucket}/study")
    command += ("--tracking-uri", mlflow_server.uri)
    ran = run_sweep(tmp_path, *command, **variables)
    assert ran.code == 0, ran
    assert f"{bucket}/study/cloud/report/report.html" in ran.out
    assert list(tmp_path.iterdir()) == [], "nothing is written beside the bucket"

    records = stored_records(s3_server, bucket, "cloud")
    assert {key: results(record) for key, record in records.items()} == records_of(tiny_sweep.records)
    client, runs = runs_of(mlflow_server, variables, monkeypatch, "cloud")
    named = {key: record["mlflow_run_id"] for key, record in records.items()}
    assert {run.data.tags["trial_key"]: run.info.run_id for run in runs} == named
    for run in runs:
        assert len(client.list_artifacts(run.info.run_id, "attribution")) == 3
        assert run.data.metrics["test_ood/auc"] == records[run.data.tags["trial_key"]]["test_ood.auc"]

    secrets = [s3_server.admin.secret, mlflow_server.password]
    left = s3_server.objects(bucket.removeprefix("s3://"))
    parts = {"records", "artifacts", "report", "logs", "sweep.json", "trials.parquet"}
    assert {name.removeprefix("study/").removeprefix("cloud/").split("/")[0] for name in left} == {".identity", *parts}
    told = json.dumps([[run.data.params, run.data.tags] for run in runs]) + ran.out + ran.err
    for secret in secrets:
        assert not [name for name, data in left.items() if secret.encode() in data]
        assert secret not in told

    again = run_sweep(tmp_path, *command, **variables)
    assert again.code == 0, again
    assert "7 trials, 0 to run" in again.out
    assert len(runs_of(mlflow_server, variables, monkeypatch, "cloud")[1]) == 7


def test_half_a_minute_without_the_bucket_loses_nothing(s3_server, bucket, variables, tmp_path, tiny_sweep):
    command = (*TINY, "--name", "outage", "--storage", f"{bucket}/study")
    command += ("--tracking-uri", f"sqlite:///{tmp_path}/m.db")
    with running_sweep(tmp_path, *command, **variables) as driver:
        wait_until(lambda: stored_records(s3_server, bucket, "outage"), driver)
        with s3_server.away():
            time.sleep(OUTAGE_SECONDS)
        assert driver.wait(PATIENCE) == 0, (tmp_path / "out").read_text()
    records = stored_records(s3_server, bucket, "outage")
    assert {key: results(record) for key, record in records.items()} == records_of(tiny_sweep.records)


@pytest.mark.parametrize(
    ("change", "message", "code"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong-but-private"}, "the secret key does not fit the access key", 2),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "no connection to http://127.0.0.1:9", 1),
    ],
)
def test_an_unusable_bucket_is_refused_at_once(s3_server, bucket, tmp_path, change, message, code, monkeypatch):
    for name, value in {**s3_server.variables(), **change}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(sweep.app, [*TINY, "--storage", f"{bucket}/study"])
    assert (ran.exit_code, ran.stdout) == (code, ""), ran.output
    assert message in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert "wrong-but-private" not in ran.stderr
    assert list(tmp_path.iterdir()) == []
    assert s3_server.objects(bucket.removeprefix("s3://")) == {}
