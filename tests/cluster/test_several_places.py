"""One sweep from two hosts against one bucket: one driver at a time, and one record a trial."""

import json
import subprocess
import sys
import time

import pytest
from support.commands import ROOT, environment, wait_until
from support.machines import why_not
from support.need import need

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
TRIALS = 16
SWEEP = (
    *("--space", "smoke", "--dataset", "synthetic", "--name", "shared", "--max-trials", str(TRIALS)),
    *("--concurrency", "1", "--set", "n_train=64", "--set", "n_valid=32", "--set", "n_test=64"),
    *("--set", "epochs=1", "--set", "attribution_images=4", "--tracking-uri", "none"),
)


def start(host, folder, bucket):
    """The sweep on a host with a name and processes of its own; all end with the first of them."""
    alone = ("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
    named = ("sh", "-c", f'hostname {host} && exec "$@"', "sh")
    command = [*alone, *named, sys.executable, str(ROOT / "sweep.py"), *SWEEP, "--storage", f"{bucket}/study"]
    with (folder / host).open("wb") as log:
        return subprocess.Popen(command, cwd=folder, env=environment(HOME=str(folder)), stdout=log, stderr=log)


def test_a_sweep_goes_on_elsewhere(s3_server, bucket, tmp_path):
    need(why_not())

    def stored(prefix):
        objects = s3_server.objects(bucket.removeprefix("s3://"), f"study/shared/{prefix}")
        return [json.loads(data) for data in objects.values()]

    def try_elsewhere():
        code = start("cluster", tmp_path, bucket).wait(400)
        return code, " ".join((tmp_path / "cluster").read_text().split())

    laptop = start("laptop", tmp_path, bucket)
    try:
        wait_until(lambda: stored("lease.json"), laptop)
        code, said = try_elsewhere()
        assert code == 1, said
        assert "Error: sweep 'shared' is being run by root on laptop, process" in said
        assert "wait for it, stop it, or start another sweep with --name or --fresh" in said
        wait_until(lambda: len(stored("records/")) >= 2, laptop)
    finally:
        laptop.kill()
        laptop.wait(30)
    before = {record["trial_key"] for record in stored("records/")}
    assert 2 <= len(before) < TRIALS
    code, said = try_elsewhere()
    assert code == 1, "it cannot be known from another host that the holder is dead"
    assert "The lease expires 60 s after the holder was last seen" in said

    (lease,) = stored("lease.json")
    time.sleep(max(0.0, lease["renewed_at"] + 61 - time.time()))
    for to_run in (TRIALS - len(before), 0):
        code, said = try_elsewhere()
        assert code == 0, said
        assert f"{TRIALS} trials, {to_run} to run" in said
    hosts = {record["trial_key"]: record["host"] for record in stored("records/")}
    assert len(hosts) == TRIALS
    assert {key for key, host in hosts.items() if host == "laptop"} == before
    assert set(hosts.values()) == {"laptop", "cluster"}
    assert {record["status"] for record in stored("records/")} == {"completed"}
