"""The Ray that trials run on: one started here, or a cluster that is there."""

import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from driver.errors import UserError

# Read by Ray Tune when it is imported or starts; each has a reason in the comment above it.
SETTINGS = {
    # Trials use absolute paths, and the working directory is the user's.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Records and MLflow take the place of one CSV, JSON and TensorBoard file a trial.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ctrl-C ends the command; Tune's own handler would go on to a half-finished "result".
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

IN_RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray in the environment of a job's driver, together with the job's own runtime environment."""

PASSED_ON = (
    "AWS_ACCESS_KEY_ID",
    "AWS_CA_BUNDLE",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
    "MLFLOW_HTTP_REQUEST_TIMEOUT",
    "MLFLOW_S3_ENDPOINT_URL",
    "MLFLOW_TRACKING_INSECURE_TLS",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_USERNAME",
)
"""Variables of the driver that trials on other nodes need; Ray hands on no others by itself."""

NOT_SENT = (".git", ".venv", "__pycache__", "/sweeps", "/mlartifacts", "mlflow.db*", "/docs", "/tests", "/benchmarks")
"""What lies in the project's folder and trials have no use for."""


@dataclass(frozen=True)
class TrialResources:
    """What each trial asks Ray for."""

    cpus: float = 1.0
    gpus: float = 0.0
    """A fraction shares a GPU: 0.25 puts four trials on one, each with a quarter of its memory."""

    def __post_init__(self) -> None:
        if self.cpus <= 0:
            raise UserError(f"bad --cpus-per-trial {self.cpus:g}; give a number above 0, also with a GPU")
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise UserError(
                f"bad --gpus-per-trial {self.gpus:g}; give 0, a fraction such as 0.25, or a whole number of GPUs"
            )

    def bundle(self) -> dict[str, float]:
        """As Ray is asked for it."""
        return {"CPU": self.cpus, "GPU": self.gpus} if self.gpus else {"CPU": self.cpus}

    def room(self, node: dict[str, float]) -> int:
        """How many trials fit on a node with these resources."""
        # A little is added: 0.3 has room for three of 0.1, although floating point makes it 2.9999999999999996.
        return min(int(node.get(name, 0) / amount + 1e-6) for name, amount in self.bundle().items() if amount)

    def __str__(self) -> str:
        return ", ".join(f"{amount:g} {name}" for name, amount in self.bundle().items())


def default_address(submitted: bool) -> str:
    """Where trials run if --address is not given: on the cluster that this command was sent to, else here.

    Args:
        submitted: whether the script arrived alone on a cluster's head, by `ray submit`.
    """
    cluster = os.environ.get("RAY_ADDRESS", "")
    return "auto" if submitted or (cluster and not cluster.startswith("http")) else "local"


def connect(address: str, concurrency: int | None, resources: TrialResources, console: Console) -> int | None:
    """Start or join Ray; how many trials run at a time, None for as many as a cluster has room for, now and later.

    Args:
        address: "local" starts a Ray on this machine, "auto" joins the cluster that this machine belongs to,
            ray://host:port joins one from outside.
        concurrency: trials at a time; None for one a processor here, all that fit on a cluster.
        resources: of each trial.
        console: for a warning where no trial fits at present.

    Raises:
        UserError: no cluster at that address, or no room for a trial on this machine.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in SETTINGS.items()})
    import ray

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if address == "local":
            ray.init(
                address="local",
                num_cpus=None if resources.gpus else _local_cpus(concurrency, resources),
                num_gpus=None if resources.gpus else 0,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
            )
            fit = resources.room(ray.cluster_resources())
            if not fit:
                raise UserError(
                    f"this machine has no room for a trial of {resources}; it has "
                    f"{ray.cluster_resources().get('CPU', 0):g} CPU and {ray.cluster_resources().get('GPU', 0):g} GPU. "
                    "Lower --cpus-per-trial or --gpus-per-trial"
                )
            return min(concurrency or fit, fit)
        try:
            ray.init(address=address, runtime_env=runtime_env(), log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UserError(
                f"no Ray cluster at --address {address!r} ({reason}); start one with `ray start --head`, give "
                "ray://HOST:10001, or leave --address at local"
            ) from None
    if not any(resources.room(node["Resources"]) for node in ray.nodes() if node["Alive"]):
        console.print(
            f"no node of the cluster has room for a trial of {resources} now; trials wait until one comes",
            style="yellow",
            soft_wrap=True,
        )
    return concurrency


def runtime_env() -> dict[str, Any]:
    """What makes the code and the environment of this driver those of its trials, on whatever node they run.

    Inside a Ray job the job's own runtime environment does that; Ray refuses to be told twice.
    """
    if IN_RAY_JOB in os.environ:
        return {}
    variables = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {
        "working_dir": str(Path(__file__).resolve().parents[2]),
        "excludes": list(NOT_SENT),
        "env_vars": variables,
    }


def check_address(address: str) -> None:
    """Raise UserError unless `address` has one of the allowed forms."""
    if address not in ("local", "auto") and not address.startswith("ray://"):
        raise UserError(f"bad --address {address!r}; give local, auto or ray://HOST:PORT")


def _local_cpus(concurrency: int | None, resources: TrialResources) -> int:
    """Processors to tell Ray of: as many as it takes for so many trials, whatever the machine has."""
    slots = concurrency or max(1, int((os.cpu_count() or 1) / resources.cpus))
    return math.ceil(slots * resources.cpus)
