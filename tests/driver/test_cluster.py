"""The resources of trials, where they run by default, the variables they get, and what a cluster must have."""

import os
import subprocess
import sys
from subprocess import PIPE

import psutil
import pytest
import ray
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE
from rich.console import Console
from support.commands import ROOT
from support.sweep_requests import make_request

from driver import UserError
from driver.ray import cluster, run
from driver.ray.cluster import IN_RAY_JOB, TrialResources, connect, default_address, runtime_env, secret_variables
from records.secrets import SECRET_NAMES
from trainables import TrialTrainable

NODE, GPU_NODE, HEAD = {"CPU": 4.0}, {"CPU": 4.0, "GPU": 1.0}, {"CPU": 0.0}


@pytest.fixture
def no_ray(monkeypatch):
    """ray.init fails the test."""
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was started"))


@pytest.fixture
def nodes(monkeypatch):
    """Set the resources of a cluster's nodes, which a connection finds."""
    monkeypatch.setattr(ray, "init", lambda *_, **__: None)

    def set_nodes(*sizes):
        monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": size} for size in sizes])

    return set_nodes


@pytest.mark.parametrize(
    ("resources", "node", "room"),
    [
        (TrialResources(), {"CPU": 4.0}, 4),
        (TrialResources(), HEAD, 0),
        (TrialResources(cpus=2), {"CPU": 7.0}, 3),
        (TrialResources(gpus=0.25), {"CPU": 16.0, "GPU": 1.0}, 4),
        (TrialResources(gpus=0.25), {"CPU": 2.0, "GPU": 1.0}, 2),
        (TrialResources(cpus=0.1, gpus=0.1), {"CPU": 1.0, "GPU": 1.0}, 10),
        (TrialResources(cpus=0.1), {"CPU": 0.3}, 3),
        (TrialResources(gpus=1), {"CPU": 8.0}, 0),
    ],
)
def test_number_of_trials_that_fit_on_a_node(resources, node, room):
    assert resources.room(node) == room


@pytest.mark.parametrize(
    ("concurrency", "cpus", "slots"), [(None, 1.0, 8), (None, 3.0, 2), (None, 16.0, 1), (None, 0.5, 16), (5, 3.0, 5)]
)
def test_number_of_concurrent_trials_on_this_machine(concurrency, cpus, slots, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    started = []
    monkeypatch.setattr(cluster, "start_local", lambda cpus, gpus, console: started.append(cpus))
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": float(started[0])})
    resources = TrialResources(cpus)
    assert cluster.local_slots(concurrency, resources) == slots
    assert connect("local", concurrency, resources, Console()) == slots


@pytest.mark.parametrize(
    ("submitted", "ray_address", "address"),
    [
        (False, "", "local"),
        (True, "", "auto"),
        (False, "10.0.0.1:6379", "auto"),
        (False, "http://127.0.0.1:8265", "local"),
    ],
)
def test_where_trials_run_by_default(submitted, ray_address, address, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", ray_address)
    assert default_address(submitted) == address


KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
NOT_FOR_TRIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_PROFILE")


def test_trials_get_endpoints_openly_and_keys_separately(monkeypatch):
    for name in (*cluster.PASSED_ON, IN_RAY_JOB):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in (*KEYS, *NOT_FOR_TRIALS):
        monkeypatch.setenv(name, f"private {name}")
    assert runtime_env()["env_vars"] == {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    assert secret_variables() == {name: f"private {name}" for name in KEYS}


def test_a_trial_sets_the_keys_before_anything_else(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the node")
    seen = []
    monkeypatch.setattr(TrialTrainable, "_begin", lambda *_: seen.append(os.environ["AWS_SECRET_ACCESS_KEY"]))
    TrialTrainable.__new__(TrialTrainable).setup({}, variables={"AWS_SECRET_ACCESS_KEY": "of the driver"})
    assert seen == ["of the driver"]


def test_tune_sends_no_keys():
    """Tune passes these variables on in the runtime environment of each trial's process."""
    run.send_no_secrets()
    assert not {name for name in ENV_VARS_TO_PROPAGATE if SECRET_NAMES.search(name)}


def test_an_address_with_a_login_travels_with_the_keys(monkeypatch):
    """Ray's dashboard and log show the variables of the runtime environment."""
    monkeypatch.delenv(IN_RAY_JOB, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:hidden@s3:9000")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3:9000")
    assert runtime_env()["env_vars"].get("AWS_ENDPOINT_URL_S3") == "http://s3:9000"
    assert "hidden" not in str(runtime_env())
    assert secret_variables()["AWS_ENDPOINT_URL"] == "http://me:hidden@s3:9000"


@pytest.mark.slow
def test_arguments_with_a_password_are_hidden_from_other_users():
    """`ps` and Ray's list of jobs show them."""
    program = "from driver.ray import cluster; cluster._hide_arguments(); print(flush=True); input()"
    arguments = ["--tracking-uri", "postgresql://u:SECRET-1@h/db?password=SECRET-2"]
    with subprocess.Popen([sys.executable, "-c", program, *arguments], cwd=ROOT, stdin=PIPE, stdout=PIPE) as process:
        assert "SECRET-1" in " ".join(psutil.Process(process.pid).cmdline())
        process.stdout.readline()
        shown = " ".join(psutil.Process(process.pid).cmdline()).strip()
        process.kill()
    assert shown.endswith("--tracking-uri postgresql://***@h/db?password=***")


def test_inside_a_ray_job_the_driver_adds_no_environment(monkeypatch):
    """Ray merges a job's environment with the driver's and refuses a field that both have."""
    assert IN_RAY_JOB == RAY_JOB_CONFIG_JSON_ENV_VAR
    monkeypatch.setenv(IN_RAY_JOB, "{}")
    assert runtime_env() == {}


@pytest.mark.parametrize(("cuda", "build"), [("13.2", "built for CUDA 13.2"), (None, "built without CUDA")])
def test_a_missing_gpu_is_reported_before_ray_starts(cuda, build, no_ray, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.version.cuda", cuda)
    with pytest.raises(UserError, match=f"bad --gpus-per-trial 0.25: torch .*, {build}, can use no GPU.*leave the op"):
        connect("local", None, TrialResources(gpus=0.25), Console())


def test_too_few_gpus_on_this_machine(nodes, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0, "GPU": 1.0})
    with pytest.raises(UserError, match=r"no room for a trial of 1 CPU, 2 GPU; it has 2 CPU and 1 GPU"):
        connect("local", None, TrialResources(gpus=2), Console())
    assert connect("local", None, TrialResources(gpus=0.5), Console()) == 2


def test_trials_wait_for_a_cluster_without_room(nodes, capsys):
    nodes(HEAD)
    assert connect("auto", None, TrialResources(), Console()) is None
    assert "no node of the cluster has room for a trial of 1 CPU now; trials wait" in capsys.readouterr().out
    assert connect("auto", 3, TrialResources(), Console()) == 3


def test_a_lost_node_is_reported_in_one_line(nodes, monkeypatch, capsys):
    """Ray's own message ends in twenty lines of that node's log."""
    from ray._private import worker

    nodes(NODE)
    monkeypatch.setattr(worker, "print_to_stdstream", worker.print_to_stdstream)
    connect("auto", None, TrialResources(), Console())
    assert "print_to_stdstream" in worker.listen_error_messages.__code__.co_names, "what Ray calls with a message"
    for message in ("Raylet is terminated. Termination is unexpected. Lines:\n    [state-dump]", "memory is low\n\n"):
        worker.print_to_stdstream({"lines": [message], "pid": "raylet", "is_err": False}, ignore_prefix=False)
    assert capsys.readouterr().out.splitlines() == [cluster.LOST_NODE, "memory is low"]


def test_a_trial_alone_on_a_node_takes_all_its_processors(nodes):
    nodes(HEAD, {"CPU": 8.0, "GPU": 1.0}, GPU_NODE, {"CPU": 2.0})
    assert cluster.alone_on_a_node(TrialResources(gpus=0.25)) == TrialResources(cpus=4, gpus=0.25)
    assert cluster.alone_on_a_node(TrialResources(cpus=16)) == TrialResources(cpus=16), "none has room now"


@pytest.mark.parametrize(
    ("gpus", "cluster_nodes", "refused"),
    [
        (None, [GPU_NODE], True),
        (None, [HEAD, GPU_NODE, GPU_NODE], True),
        (None, [GPU_NODE, NODE], False),
        (None, [HEAD], False),
        (0.25, [GPU_NODE], False),
        (0.0, [GPU_NODE], False),
    ],
)
def test_gpus_stay_idle_only_on_request(gpus, cluster_nodes, refused, nodes):
    nodes(*cluster_nodes)
    resources = make_request("sweeps", gpus_per_trial=gpus).resources
    assert resources.gpus == (gpus or 0.0)
    if refused:
        with pytest.raises(UserError, match=r"every node .* has a GPU.*--gpus-per-trial 0.25 .*--gpus-per-trial 0 "):
            connect("auto", None, resources, Console())
    else:
        connect("auto", None, resources, Console())


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({"RAY_AUTH_MODE": "disabled"}, r"a command without a token \(RAY_AUTH_MODE is disabled\)"),
        ({"RAY_AUTH_TOKEN": "wrong"}, "the token in RAY_AUTH_TOKEN"),
        ({"RAY_AUTH_TOKEN_PATH": "{home}/token"}, "the token in .*/token"),
        ({}, r"a command without a token \(.*/.ray/auth_token does not exist\)"),
    ],
)
def test_a_refused_token_is_named_and_not_shown(variables, shown, tmp_path, monkeypatch):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text("wrong")
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(home=tmp_path))

    def refuse(*_, **__):
        # As Ray 2.60 does it.
        try:
            raise RuntimeError("InvalidAuthToken: Authentication token is missing or incorrect")
        except RuntimeError as error:
            raise ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379") from error

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(UserError, match=rf"the cluster at --address 'auto' refuses {shown}; set RAY_AUTH") as error:
        connect("auto", None, TrialResources(), Console())
    assert "wrong" not in str(error.value)


@pytest.mark.parametrize("content", [None, ""])
def test_a_missing_or_empty_token_file_is_reported_before_ray_starts(content, no_ray, tmp_path, monkeypatch):
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    with pytest.raises(UserError, match=f"no token in the file that RAY_AUTH_TOKEN_PATH names, '{path}'; set RAY_AUTH"):
        connect("auto", None, TrialResources(), Console())
