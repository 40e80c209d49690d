"""A cluster of two machines: one is switched off in the middle, another joins, and nothing is lost."""

import json
import signal
import time

import pytest
from support.commands import ROOT, run_sweep
from support.machines import Network

from records import columns

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
TRIALS = 42
SETTINGS = (
    "n_train=256",
    "n_valid=32",
    "n_test=64",
    "epochs=8",
    "attribution_images=8",
    "integrated_gradients_steps=4",
)
SWEEP = (
    *("--space", "smoke", "--dataset", "synthetic", "--name", "two", "--max-trials", str(TRIALS)),
    *(w for s in SETTINGS for w in ("--set", s)),
)
RAY = ("--object-store-memory=100000000", "--disable-usage-stats", "--num-cpus=1")
# Ray takes a silent node for dead after a few seconds instead of half a minute.
QUICK = {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "3"}


@pytest.fixture
def network():
    with Network() as machines:
        yield machines


def head_of(network, *options):
    head = network.add("head")
    where = ("--head", f"--node-ip-address={head.address}", "--port=6379")
    head.run("ray", "start", *where, *RAY, *options, variables=QUICK)
    return head


def join(network, name):
    node = network.add(name)
    node.run("ray", "start", "--address=10.77.0.2:6379", f"--node-ip-address={node.address}", *RAY, variables=QUICK)
    return node


def records(storage):
    found = [json.loads(path.read_text()) for path in (storage / "two" / "records").glob("*.json")]
    return {record["trial_key"]: record for record in found}


def results(record):
    return {name: value for name, value in record.items() if not columns.is_run_specific(name)}


def hosts(storage):
    return [record["host"] for record in records(storage).values()]


def wait_until(condition, driver, log, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert driver.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def test_a_node_goes_another_comes_and_nothing_is_lost(network, tmp_path):
    head, second = head_of(network), join(network, "second")
    storage, log = tmp_path / "sweeps", head.folder / "driver.log"
    command = ["python", str(ROOT / "sweep.py"), "--address", "auto", "--storage", str(storage), *SWEEP]
    driver = head.start("driver.log", *command)
    try:
        wait_until(lambda: hosts(storage).count("second") >= 2, driver, log)
        before = records(storage)
        second.off()
        third = join(network, "third")
        wait_until(lambda: hosts(storage).count("third") >= 2, driver, log)
        assert driver.wait(400) == 0, log.read_text()
    finally:
        if driver.poll() is None:
            driver.send_signal(signal.SIGKILL)
    after = records(storage)
    assert len(after) == TRIALS, "none is missing"
    assert {record["status"] for record in after.values()} == {"completed"}
    assert set(hosts(storage)) == {"head", "second", "third"}, "work went to every machine"
    for key, record in before.items():
        # The end of the run adds the MLflow run's id.
        assert after[key] == record | {"mlflow_run_id": after[key]["mlflow_run_id"]}, "what was done is not done again"
    assert third.process.poll() is None

    alone = run_sweep(tmp_path, "--storage", str(tmp_path / "alone"), *SWEEP)
    assert alone.code == 0, alone
    undisturbed = records(tmp_path / "alone")
    assert {k: results(r) for k, r in after.items()} == {k: results(r) for k, r in undisturbed.items()}


def test_a_folder_that_nodes_do_not_share_is_refused_at_once(network):
    head, second = head_of(network), join(network, "second")
    # /run is each machine's own.
    command = ["python", str(ROOT / "sweep.py"), "--address", "auto", "--storage", "/run/sweeps", *SWEEP]
    done = head.run(*command, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "node second does not have the folder '/run/sweeps'; give --storage s3://bucket/prefix" in done.stderr
    second.off()


def test_a_head_alone_says_nothing_of_the_folder_of_those_that_come(network):
    """The driver waits for the first node to train on, as it would with an autoscaler, and asks that one."""
    head = head_of(network, "--num-cpus=0")
    command = ["python", str(ROOT / "sweep.py"), "--address", "auto", "--storage", "/run/sweeps", *SWEEP]
    driver, log = head.start("driver.log", *command), head.folder / "driver.log"
    wait_until(lambda: "Waiting for a node to train on, which must have" in log.read_text(), driver, log)
    join(network, "second")
    assert driver.wait(120) == 2, log.read_text()
    said = " ".join(log.read_text().split())
    assert "node second does not have the folder '/run/sweeps'; give --storage s3://bucket/prefix" in said


def test_no_key_is_shown_by_the_dashboard(network, tmp_path):
    """Keys of the driver reach trials on another machine, but no list of Ray's holds them."""
    keys = {"AWS_SECRET_ACCESS_KEY": "very-secret-1", "MLFLOW_TRACKING_PASSWORD": "very-secret-2"}
    shown = {"AWS_DEFAULT_REGION": "moon-north-1"}
    head = head_of(network, "--num-cpus=0")
    join(network, "second")
    storage, log = tmp_path / "sweeps", head.folder / "driver.log"
    command = ["python", str(ROOT / "sweep.py"), "--address", "auto", "--storage", str(storage), *SWEEP]
    driver = head.start("driver.log", *command, variables=keys | shown)
    try:
        wait_until(lambda: hosts(storage), driver, log)
        lists = [
            head.run("ray", "list", what, "--detail", "--format=json", timeout=100).stdout
            for what in ("actors", "jobs", "runtime-envs", "workers")
        ]
        logs = head.run("sh", "-c", "cat /tmp/ray/session_latest/logs/*.log").stdout
    finally:
        driver.kill()
    assert any("Trainable" in text and "ALIVE" in text for text in lists), lists
    assert shown["AWS_DEFAULT_REGION"] in "".join(lists), "where a runtime environment is shown"
    for secret in keys.values():
        assert not any(secret in text for text in (*lists, logs))


def test_without_a_cluster_auto_says_what_to_do(network):
    head = network.add("head")
    command = ["python", str(ROOT / "sweep.py"), "--address", "auto", *SWEEP]
    done = head.run(*command, check=False)
    assert done.returncode == 2
    assert "no Ray cluster at --address 'auto'" in done.stderr
    assert "ray start --head" in done.stderr
