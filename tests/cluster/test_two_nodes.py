"""A cluster of two machines: one is switched off in the middle, another joins, and nothing is lost."""

import json
import signal

import pytest
from support.commands import ROOT, run_sweep, wait_until
from support.faults import records_of
from support.machines import Network

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
TRIALS = 42
SWEEP = (
    *("--space", "smoke", "--dataset", "synthetic", "--name", "two", "--max-trials", str(TRIALS)),
    *("--set", "n_train=256", "--set", "n_valid=32", "--set", "n_test=64", "--set", "epochs=8"),
    *("--set", "attribution_images=8", "--set", "integrated_gradients_steps=4"),
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


def start_driver(head, storage, **options):
    """The driver's process and its log."""
    command = ["python", str(ROOT / "sweep.py"), "--address", "auto", "--storage", str(storage), *SWEEP]
    return head.start("driver.log", *command, **options), head.folder / "driver.log"


def hosts(storage):
    return [record["host"] for record in records(storage).values()]


def test_a_node_goes_another_comes_and_nothing_is_lost(network, tmp_path):
    head, second = head_of(network), join(network, "second")
    storage = tmp_path / "sweeps"
    driver, log = start_driver(head, storage)
    try:
        wait_until(lambda: hosts(storage).count("second") >= 2, driver)
        before = records(storage)
        second.off()
        third = join(network, "third")
        wait_until(lambda: hosts(storage).count("third") >= 2, driver)
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
    assert records_of(storage / "two" / "records") == records_of(tmp_path / "alone" / "two" / "records")


def test_a_folder_that_nodes_do_not_share_is_refused_at_once(network):
    head, second = head_of(network), join(network, "second")
    # /run is each machine's own.
    driver, log = start_driver(head, "/run/sweeps")
    assert_refused(driver, log)
    second.off()


def assert_refused(driver, log):
    assert driver.wait(120) == 2, log.read_text()
    text = " ".join(log.read_text().split())
    assert "node second does not have the folder '/run/sweeps'; give --storage s3://bucket/prefix" in text


def test_the_folder_is_checked_on_the_first_node_to_join(network):
    """The driver waits for a node to train on, as it would with an autoscaler."""
    head = head_of(network, "--num-cpus=0")
    driver, log = start_driver(head, "/run/sweeps")
    wait_until(lambda: "Waiting for a node to train on, which must have" in log.read_text(), driver)
    join(network, "second")
    assert_refused(driver, log)


def test_no_key_is_shown_by_the_dashboard(network, tmp_path):
    """Keys of the driver reach trials on another machine, but no list of Ray's holds them."""
    keys = {"AWS_SECRET_ACCESS_KEY": "very-secret-1", "MLFLOW_TRACKING_PASSWORD": "very-secret-2"}
    shown = {"AWS_DEFAULT_REGION": "moon-north-1"}
    head = head_of(network, "--num-cpus=0")
    join(network, "second")
    storage = tmp_path / "sweeps"
    driver, _ = start_driver(head, storage, variables=keys | shown)
    try:
        wait_until(lambda: hosts(storage), driver)
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
