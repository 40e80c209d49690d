"""The Ray that trials run on: a local one, or an existing cluster."""

import math
import os
import platform
import traceback
import uuid
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from driver import UserError
from driver.ray.start import QUIET, start_local
from driver.terminal import say
from records import SweepRecords, open_storage
from records.secrets import is_secret, scrub
from records.storage import FolderStorage

# Read by Ray Tune when it is imported or starts.
SETTINGS = {
    # Trials use absolute paths, and stay in the user's working directory.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Records and MLflow replace a CSV, JSON and TensorBoard file per trial.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    # Seconds between two copies of Tune's state, which is never restored: the records hold what is done.
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ctrl-C ends the command; Tune's own handler would continue with a half-finished "result".
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

IN_RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray for the driver of a job, to the job's runtime environment."""

PASSED_ON = (
    *("AWS_ACCESS_KEY_ID", "AWS_CA_BUNDLE", "AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED", "AWS_ENDPOINT_URL"),
    *("AWS_ENDPOINT_URL_S3", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
)
"""The driver's variables that trials on other nodes need for the storage; secrets travel apart from the others."""

NOT_SENT = (
    *(".git", ".venv", "__pycache__", "/sweeps", "/mlartifacts", "mlflow.db*"),
    *("/docs", "/tests", "/benchmarks", "/cluster", "/k8s"),
)
"""Files in the project's folder that trials do not need."""

LOST_NODE = "a node of the cluster has ended; its trials start again from their last checkpoints"
AUTHENTICATE = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to a file with the cluster's token"
SHARE_STORAGE = "give --storage s3://bucket/prefix, or a folder that all nodes share"


@dataclass(frozen=True)
class TrialResources:
    """The resources that Ray reserves for each trial."""

    cpus: float = 1.0
    gpus: float = 0.0
    """A fraction shares a GPU: 0.25 puts four trials on one, each with a quarter of its memory."""
    idle_gpus: bool = True
    """Whether trials without a GPU may run on nodes that have one."""

    def __post_init__(self) -> None:
        if not 0 < self.cpus < math.inf:
            raise UserError(f"bad --cpus-per-trial {self.cpus:g}; give a number above 0, also with a GPU")
        if not (0 <= self.gpus <= 1 or self.gpus % 1 == 0):
            raise UserError(f"bad --gpus-per-trial {self.gpus:g}; give 0, a fraction such as 0.25, or a whole number")

    def bundle(self) -> dict[str, float]:
        return {"CPU": self.cpus, "GPU": self.gpus} if self.gpus else {"CPU": self.cpus}

    def room(self, node: dict[str, float]) -> int:
        """The number of trials that fit on a node with these resources."""
        # The addend is for rounding: 0.3 / 0.1 is 2.9999999999999996.
        return min(int(node.get(name, 0) / amount + 1e-6) for name, amount in self.bundle().items() if amount)

    def __str__(self) -> str:
        return ", ".join(f"{amount:g} {name}" for name, amount in self.bundle().items())


def default_address(submitted: bool) -> str:
    """Where trials run without --address: locally, unless `ray submit` or RAY_ADDRESS names a cluster."""
    cluster = os.environ.get("RAY_ADDRESS", "")
    return "auto" if submitted or (cluster and not cluster.startswith("http")) else "local"


def check_address(address: str) -> None:
    """Raise UserError unless `address` has one of the allowed forms."""
    if address not in ("local", "auto") and not address.startswith("ray://"):
        raise UserError(f"bad --address {scrub(address)!r}; give local, auto or ray://HOST:PORT")


def connect(address: str, concurrency: int | None, resources: TrialResources, console: Console) -> int | None:
    """Start or join Ray; return the number of concurrent trials, or None for all that a cluster has room for.

    The address "local" starts Ray on this machine, "auto" joins this machine's cluster, ray://host:port another one.
    Without `concurrency` one trial runs per processor locally, all that fit on a cluster.
    """
    if address == "local" and resources.gpus:
        _check_gpu(resources)
    token_file = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if token_file is not None and not (os.path.isfile(token_file) and os.path.getsize(token_file)):
        # Ray would end the process.
        raise UserError(f"no token in the file that RAY_AUTH_TOKEN_PATH names, {token_file!r}; {AUTHENTICATE}")
    os.environ.update({name: os.environ.get(name, value) for name, value in SETTINGS.items()})
    import ray

    _hide_arguments()
    _shorten_messages(console, None if address == "local" else LOST_NODE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if address == "local":
            cpus = None if resources.gpus else math.ceil(local_slots(concurrency, resources) * resources.cpus)
            start_local(cpus, None if resources.gpus else 0, console)
            machine = ray.cluster_resources()
            fit = resources.room(machine)
            if not fit:
                raise UserError(
                    f"this machine has no room for a trial of {resources}; it has {machine.get('CPU', 0):g} CPU and "
                    f"{machine.get('GPU', 0):g} GPU. Lower --cpus-per-trial or --gpus-per-trial"
                )
            return min(concurrency or fit, fit)
        try:
            ray.init(address, runtime_env=runtime_env(), **QUIET)
        except (ConnectionError, ValueError, RuntimeError, ray.exceptions.AuthenticationError) as error:
            if "authentication token" in "".join(traceback.format_exception(error)).lower():
                raise UserError(
                    f"the cluster at --address {scrub(address)!r} refuses {_token()}; {AUTHENTICATE}"
                ) from None
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(
                f"no Ray cluster at --address {scrub(address)!r} ({reason}); start one with `ray start --head`, give "
                "ray://HOST:10001, or leave --address at local"
            ) from None
    nodes = _nodes_with_room(resources)
    if not nodes:
        message = f"no node of the cluster has room for a trial of {resources} now; trials wait for one that has"
        say(console, message, "yellow")
    elif not (resources.gpus or resources.idle_gpus) and all(node["Resources"].get("GPU", 0) for node in nodes):
        raise UserError(
            "every node with room for a trial has a GPU, which trials would leave idle; give --gpus-per-trial 0.25 to "
            "put four on each, or --gpus-per-trial 0 to train on these nodes' processors"
        )
    return concurrency


def _hide_arguments() -> None:
    """Remove credentials from this process's arguments, which `ps` and Ray's dashboard show to others."""
    import ray

    arguments = psutil.Process().cmdline()
    clean = list(map(scrub, arguments))
    if clean != arguments:
        ray._raylet.setproctitle(" ".join(clean))


def local_slots(concurrency: int | None, resources: TrialResources) -> int:
    """The number of concurrent trials on this machine: `concurrency`, else as many as its processors have room for."""
    return concurrency or max(1, int((os.cpu_count() or 1) / resources.cpus))


def _check_gpu(resources: TrialResources) -> None:
    """Raise UserError unless torch can use a GPU of this machine."""
    import torch  # here, as loading it takes seconds

    if not torch.cuda.is_available():
        build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        raise UserError(
            f"bad --gpus-per-trial {resources.gpus:g}: torch {torch.__version__}, {build}, can use no GPU on this "
            "machine; leave the option out to train on processors, or give the --address of a cluster with GPUs. If "
            "the machine has one, see what nvidia-smi and CUDA_VISIBLE_DEVICES say"
        )


def _shorten_messages(console: Console, lost_node: str | None) -> None:
    """Shorten messages of Ray's nodes to a line: for a lost node Ray prints the end of its log.

    `lost_node` replaces that message; with None nothing is printed, as for this machine's node `watched` says it.
    """
    from ray._private import worker

    def show(data: dict[str, Any], ignore_prefix: bool) -> None:
        for message in data["lines"]:
            first = message.strip().split("\n")[0]
            if (line := lost_node if first.startswith("Raylet is terminated") else first) is not None:
                say(console, line, "yellow")

    # Ray has no setting for it. If a later release has no such function, nothing changes.
    worker.print_to_stdstream = show


def runtime_env() -> dict[str, Any]:
    """The driver's code and environment for trials on any node, without secrets, since the dashboard shows it.

    Empty inside a Ray job, which has a runtime environment: Ray refuses a field given twice.
    """
    if IN_RAY_JOB in os.environ:
        return {}
    variables = _passed_on(secret=False)
    return {"working_dir": str(Path(__file__).resolve().parents[2]), "excludes": list(NOT_SENT), "env_vars": variables}


def secret_variables() -> dict[str, str]:
    """The driver's keys and passwords that trials need, by variable."""
    return _passed_on(secret=True)


def _passed_on(secret: bool) -> dict[str, str]:
    names = (name for name in PASSED_ON if name in os.environ and is_secret(name, os.environ[name]) == secret)
    return {name: os.environ[name] for name in names}


def _token() -> str:
    if os.environ.get("RAY_AUTH_MODE", "token") != "token":
        return f"a command without a token (RAY_AUTH_MODE is {os.environ['RAY_AUTH_MODE']})"
    if "RAY_AUTH_TOKEN" in os.environ:
        return "the token in RAY_AUTH_TOKEN"
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    return f"the token in {path}" if path.is_file() else f"a command without a token ({path} does not exist)"


def _nodes_with_room(resources: TrialResources) -> list[dict[str, Any]]:
    """Ray's descriptions of the live nodes on which a trial fits."""
    import ray

    return [node for node in ray.nodes() if node["Alive"] and resources.room(node["Resources"])]


def alone_on_a_node(resources: TrialResources) -> TrialResources:
    """The resources with all processors of the smallest node on which the trial fits."""
    nodes = _nodes_with_room(resources)
    return replace(resources, cpus=min((node["Resources"]["CPU"] for node in nodes), default=resources.cpus))


def check_shared(records: SweepRecords, resources: TrialResources, console: Console) -> None:
    """Raise UserError unless every node of the cluster sees a file just written to the sweep's storage.

    If no node has room for a trial, wait for the first one. Nodes that join later are checked by their first record.
    """
    if not isinstance(records.storage, FolderStorage):
        return
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    name = f"{records.name}/.shared-{uuid.uuid4().hex}"
    records.storage.write(name, b"shared")
    try:
        look = ray.remote(num_cpus=0)(_has)
        looks = [
            look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
            for node in ray.nodes()
            if node["Alive"]
        ]
        if not _nodes_with_room(resources):
            say(console, "Waiting for a node to train on, which must have the storage's folder")
            # As a trial would, so that an autoscaler starts one.
            looks.append(look.options(num_cpus=resources.cpus, num_gpus=resources.gpus))
        for answer in [look.remote(records.storage.location, name) for look in looks]:
            host, is_there = ray.get(answer)
            if not is_there:
                raise UserError(f"node {host} does not have the folder {records.storage.location!r}; {SHARE_STORAGE}")
    finally:
        records.storage.delete(name)


def _has(location: str, name: str) -> tuple[str, bool]:
    """The name of this node, and whether it sees a file of the storage."""
    return platform.node(), open_storage(location).read(name) is not None
