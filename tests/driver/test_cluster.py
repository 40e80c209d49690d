"""What trials ask Ray for, where they run by default, and what is passed on to them."""

import json
import os

import pytest
from rich.console import Console
from support.sweep_requests import make_request

from driver import UserError
from driver.ray import cluster, run
from driver.ray.cluster import IN_RAY_JOB, TrialResources, connect, default_address, runtime_env, secret_variables
from trainables import TrialTrainable


@pytest.mark.parametrize(
    ("resources", "node", "room"),
    [
        (TrialResources(), {"CPU": 4.0}, 4),
        (TrialResources(), {"CPU": 0.0}, 0),
        (TrialResources(cpus=2), {"CPU": 7.0}, 3),
        (TrialResources(gpus=0.25), {"CPU": 16.0, "GPU": 1.0}, 4),
        (TrialResources(gpus=0.25), {"CPU": 2.0, "GPU": 1.0}, 2),
        (TrialResources(cpus=0.1, gpus=0.1), {"CPU": 1.0, "GPU": 1.0}, 10),
        (TrialResources(cpus=0.1), {"CPU": 0.3}, 3),
        (TrialResources(gpus=1), {"CPU": 8.0}, 0),
    ],
)
def test_how_many_trials_a_node_has_room_for(resources, node, room):
    assert resources.room(node) == room


@pytest.mark.parametrize(
    ("concurrency", "cpus", "slots"), [(None, 1.0, 8), (None, 3.0, 2), (None, 16.0, 1), (None, 0.5, 16), (5, 3.0, 5)]
)
def test_how_many_trials_this_machine_runs_at_a_time(concurrency, cpus, slots, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert cluster.local_slots(concurrency, TrialResources(cpus)) == slots


def test_a_trial_without_a_gpu_asks_for_none():
    assert TrialResources().bundle() == {"CPU": 1.0}
    assert TrialResources(gpus=0.5).bundle() == {"CPU": 1.0, "GPU": 0.5}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gpus": 1.5}, r"bad --gpus-per-trial 1.5; give 0, a fraction such as 0.25, or a whole number"),
        ({"cpus": 0.0}, r"bad --cpus-per-trial 0; give a number above 0"),
    ],
)
def test_wrong_amounts(wrong, message):
    with pytest.raises(UserError, match=message):
        TrialResources(**wrong)


@pytest.mark.parametrize(
    ("submitted", "ray_address", "address"),
    [
        (False, None, "local"),
        (True, None, "auto"),
        (False, "10.0.0.1:6379", "auto"),
        (False, "http://127.0.0.1:8265", "local"),
    ],
)
def test_where_trials_run_by_default(submitted, ray_address, address, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if ray_address:
        monkeypatch.setenv("RAY_ADDRESS", ray_address)
    assert default_address(submitted) == address


KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
PASSWORDS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""Of MLflow, which trials do not know."""


def test_trials_get_the_endpoints_in_the_open_and_the_keys_apart(monkeypatch):
    for name in cluster.PASSED_ON:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv(IN_RAY_JOB, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    for name in (*KEYS, *PASSWORDS):
        monkeypatch.setenv(name, f"private {name}")
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    monkeypatch.setenv("AWS_PROFILE", "a file of this machine alone")
    assert runtime_env()["env_vars"] == {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    assert secret_variables() == {name: f"private {name}" for name in KEYS}


def test_a_trial_sets_the_keys_before_it_does_anything_else(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the node")
    seen = []
    monkeypatch.setattr(TrialTrainable, "_begin", lambda *_: seen.append(os.environ["AWS_SECRET_ACCESS_KEY"]))
    TrialTrainable.__new__(TrialTrainable).setup({}, variables={"AWS_SECRET_ACCESS_KEY": "of the driver"})
    assert seen == ["of the driver"]


def test_tune_sends_no_keys_either(monkeypatch):
    """Tune passes AWS's keys on in the runtime environment of each trial's process."""
    from ray.tune.execution.class_cache import _ActorClassCache

    for name in KEYS:
        monkeypatch.setenv(name, "private")
    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")
    run.send_no_secrets()
    environment = _ActorClassCache().get(type("Trial", (), {}))._default_options["runtime_env"]["env_vars"]
    assert environment["RAY_CHDIR_TO_TRIAL_DIR"] == "0"
    assert "private" not in environment.values()


def test_inside_a_ray_job_nothing_is_said_twice(monkeypatch):
    """Ray merges a job's environment with the driver's and refuses a field that both have."""
    from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
    from ray._private.worker import _merge_runtime_env

    assert IN_RAY_JOB == RAY_JOB_CONFIG_JSON_ENV_VAR
    monkeypatch.delenv(IN_RAY_JOB, raising=False)
    job = {"working_dir": "s3://code/job.zip", "env_vars": {"AWS_DEFAULT_REGION": "x"}}
    assert _merge_runtime_env(job, runtime_env()) is None, "outside a job both have a working_dir"
    monkeypatch.setenv(IN_RAY_JOB, json.dumps({"runtime_env": job}))
    assert _merge_runtime_env(job, runtime_env()) == job


@pytest.mark.parametrize(("cuda", "build"), [("13.2", "built for CUDA 13.2"), (None, "built without CUDA")])
def test_a_gpu_that_is_not_there_is_said_before_ray_starts(cuda, build, monkeypatch):
    import ray
    import torch

    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray was started"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    with pytest.raises(UserError, match=f"bad --gpus-per-trial 0.25: torch .*, {build}, can use no GPU") as raised:
        connect("local", None, TrialResources(gpus=0.25), Console())
    assert "leave the option out to train on processors" in str(raised.value)


def test_too_few_gpus_are_said_at_once(monkeypatch):
    import ray
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0, "GPU": 1.0})
    with pytest.raises(UserError, match=r"no room for a trial of 1 CPU, 2 GPU; it has 2 CPU and 1 GPU"):
        connect("local", None, TrialResources(gpus=2), Console())
    assert connect("local", None, TrialResources(gpus=0.5), Console()) == 2


def test_a_cluster_without_room_is_waited_for(monkeypatch, capsys):
    import ray

    node = {"Alive": True, "Resources": {"CPU": 0.0}}
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "nodes", lambda: [node])
    assert connect("auto", None, TrialResources(), Console()) is None
    assert "no node of the cluster has room for a trial of 1 CPU now; trials wait" in capsys.readouterr().out
    assert connect("auto", 3, TrialResources(), Console()) == 3


def test_a_lost_node_is_a_line(monkeypatch, capsys):
    """Ray's own words for it end in twenty lines of that node's log."""
    import ray
    from ray._private import worker

    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 1.0}}])
    monkeypatch.setattr(worker, "print_to_stdstream", worker.print_to_stdstream)
    connect("auto", None, TrialResources(), Console())
    assert "print_to_stdstream" in worker.listen_error_messages.__code__.co_names, "what Ray calls with a message"
    for message in ("Raylet is terminated. Termination is unexpected. Lines:\n    [state-dump]", "memory is low\n\n"):
        worker.print_to_stdstream({"lines": [message], "pid": "raylet", "is_err": False}, ignore_prefix=False)
    lost, low = capsys.readouterr().out.splitlines()
    assert lost == "a node of the cluster has ended; its trials start again from their last checkpoints"
    assert low == "memory is low"


def test_a_trial_is_alone_where_it_has_all_processors_of_a_node(monkeypatch):
    import ray

    sizes = ({"CPU": 0.0}, {"CPU": 8.0, "GPU": 1.0}, {"CPU": 4.0, "GPU": 1.0}, {"CPU": 2.0})
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": size} for size in sizes])
    assert cluster.alone_on_a_node(TrialResources(gpus=0.25)) == TrialResources(cpus=4, gpus=0.25)
    assert cluster.alone_on_a_node(TrialResources(cpus=16)) == TrialResources(cpus=16), "none has room now"


NODE = {"CPU": 4.0}
GPU_NODE = {"CPU": 4.0, "GPU": 1.0}


@pytest.mark.parametrize(
    ("resources", "nodes", "refused"),
    [
        (TrialResources(idle_gpus=False), [GPU_NODE], True),
        (TrialResources(idle_gpus=False), [{"CPU": 0.0}, GPU_NODE, GPU_NODE], True),
        (TrialResources(idle_gpus=False), [GPU_NODE, NODE], False),
        (TrialResources(idle_gpus=False), [{"CPU": 0.0}], False),
        (TrialResources(gpus=0.25, idle_gpus=False), [GPU_NODE], False),
        (TrialResources(gpus=0.0), [GPU_NODE], False),
    ],
)
def test_gpus_are_not_left_idle_unasked(resources, nodes, refused, monkeypatch):
    import ray

    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": node} for node in nodes])
    if refused:
        with pytest.raises(UserError, match=r"every node .* has a GPU.*--gpus-per-trial 0.25 .*--gpus-per-trial 0 "):
            connect("auto", None, resources, Console())
    else:
        connect("auto", None, resources, Console())


@pytest.mark.parametrize(("said", "gpus", "idle"), [(None, 0.0, False), (0.0, 0.0, True), (0.25, 0.25, True)])
def test_what_was_said_of_gpus(said, gpus, idle):
    asked = make_request("sweeps", gpus_per_trial=said).resources
    assert (asked.gpus, asked.idle_gpus) == (gpus, idle)


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({"RAY_AUTH_MODE": "disabled"}, r"a command without a token \(RAY_AUTH_MODE is disabled\)"),
        ({"RAY_AUTH_TOKEN": "wrong"}, "the token in RAY_AUTH_TOKEN"),
        ({"RAY_AUTH_TOKEN_PATH": "{home}/token"}, "the token in .*/token"),
        ({}, r"a command without a token \(.*/.ray/auth_token does not exist\)"),
    ],
)
def test_a_token_that_a_cluster_refuses_is_named_and_not_shown(variables, shown, tmp_path, monkeypatch):
    import ray

    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text("wrong")
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(home=tmp_path))

    def refuse(**_):
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
def test_a_token_file_that_is_missing_or_empty_is_said_before_ray_starts(content, tmp_path, monkeypatch):
    import ray

    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray was started"))
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    with pytest.raises(UserError, match=f"no token in the file that RAY_AUTH_TOKEN_PATH names, '{path}'; set RAY_AUTH"):
        connect("auto", None, TrialResources(), Console())


@pytest.mark.parametrize(("cpus", "concurrency", "total"), [(1, 4, 4), (0.5, 4, 2), (3, 2, 6)])
def test_this_machine_takes_the_trials_that_it_is_told_to(cpus, concurrency, total):
    resources = TrialResources(cpus=cpus)
    assert cluster._local_cpus(concurrency, resources) == total
    assert resources.room({"CPU": float(total)}) >= concurrency
