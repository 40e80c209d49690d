"""One sweep from several places against one bucket: one driver at a time, one record and one MLflow run a trial."""

import json
import os
import subprocess
import sys
import time

import pytest
from mlflow.tracking import MlflowClient
from support.commands import ROOT
from support.machines import why_not
from support.need import need
from support.real_cluster import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
TRIALS = 16
SWEEP = (
    *("--space", "smoke", "--dataset", "synthetic", "--name", "shared", "--max-trials", str(TRIALS)),
    *("--concurrency", "1", "--set", "n_train=64", "--set", "n_valid=32", "--set", "n_test=64"),
    *("--set", "epochs=1", "--set", "attribution_images=4"),
)


class Place:
    """A host by its name and processes; it shares this one's network, where the servers are."""

    def __init__(self, name, folder, variables, options):
        self.name, self.options = name, options
        self.folder = folder / name
        self.folder.mkdir()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "MLFLOW_", "RAY_"))}
        self.environment = {**kept, "HOME": str(self.folder), **variables}
        self.process = None

    def start(self):
        host = ("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
        named = ("sh", "-c", f'hostname {self.name} && exec "$@"', "sh")
        command = [*host, *named, sys.executable, str(ROOT / "sweep.py"), *SWEEP, *self.options]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        return self

    def end(self, seconds=400):
        """Its exit code and output."""
        code = self.process.wait(seconds)
        return code, " ".join((self.folder / "log").read_text().split())

    def off(self):
        """Kill it: its first process takes all others with it."""
        self.process.kill()
        self.process.wait(30)


@pytest.fixture
def places(s3_server, mlflow_server, bucket, tmp_path):
    need(why_not())
    variables = {**s3_server.variables(), **mlflow_server.variables()}
    options = ("--storage", f"{bucket}/study", "--tracking-uri", mlflow_server.uri)
    made = [Place(name, tmp_path, variables, options) for name in ("laptop", "cluster", "pod")]
    yield made
    for place in made:
        if place.process is not None and place.process.poll() is None:
            place.off()


def test_a_sweep_goes_on_elsewhere(places, s3_server, mlflow_server, bucket, monkeypatch):
    laptop, cluster, pod = places

    def stored(prefix):
        objects = s3_server.objects(bucket.removeprefix("s3://"), f"study/shared/{prefix}")
        return [json.loads(data) for data in objects.values()]

    def wait_for(prefix, count):
        wait_until(lambda: len(stored(prefix)) >= count or laptop.process.poll() is not None, prefix, 300, every=0.2)
        assert laptop.process.poll() is None, laptop.end()

    laptop.start()
    wait_for("lease.json", 1)
    code, said = cluster.start().end()
    assert code == 1, said
    assert "Error: sweep 'shared' is being run by root on laptop, process" in said
    assert "wait for it, stop it, or start another sweep with --name or --fresh" in said

    wait_for("records/", 2)
    laptop.off()
    before = {record["trial_key"] for record in stored("records/")}
    assert 2 <= len(before) < TRIALS
    code, said = cluster.start().end()
    assert code == 1, "it cannot be known from another host that the holder is dead"
    assert "The lease expires 60 s after the holder was last seen" in said

    (lease,) = stored("lease.json")
    time.sleep(max(0.0, lease["renewed_at"] + 61 - time.time()))
    code, said = cluster.start().end()
    assert code == 0, said
    assert f"{TRIALS} trials, {TRIALS - len(before)} to run" in said

    code, said = pod.start().end()
    assert code == 0, said
    assert f"{TRIALS} trials, 0 to run" in said

    records = stored("records/")
    assert len(records) == len({record["trial_key"] for record in records}) == TRIALS
    assert {record["status"] for record in records} == {"completed"}
    hosts = {record["trial_key"]: record["host"] for record in records}
    assert {key for key, host in hosts.items() if host == "laptop"} == before
    assert set(hosts.values()) == {"laptop", "cluster"}

    for name, value in mlflow_server.variables().items():
        monkeypatch.setenv(name, value)
    client = MlflowClient(mlflow_server.uri)
    experiment = client.get_experiment_by_name("shared").experiment_id
    runs = client.search_runs([experiment], "tags.kind = 'trial'")
    mirrored = sorted((run.data.tags["trial_key"], run.info.run_id) for run in runs)
    assert mirrored == sorted((record["trial_key"], record["mlflow_run_id"]) for record in records)
    assert len(client.search_runs([experiment], "tags.kind = 'sweep'")) == 1
