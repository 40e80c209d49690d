"""The Ray that trials run on: one started here, or a cluster that is there."""

import os
import warnings

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


def connect(address: str, concurrency: int | None) -> int:
    """Start or join Ray; how many one-thread trials run at a time.

    Args:
        address: "local" starts a Ray on this machine, "auto" joins the cluster that this machine belongs to,
            ray://host:port joins one from outside.
        concurrency: trials at a time; None for one a processor.

    Raises:
        UserError: no cluster at that address, or more trials at a time than it has processors for.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in SETTINGS.items()})
    import ray

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if address == "local":
            slots = concurrency or os.cpu_count() or 1
            ray.init(
                address="local",
                num_cpus=slots,
                num_gpus=0,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
            )
            return slots
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UserError(
                f"no Ray cluster at --address {address!r} ({reason}); start one with `ray start --head`, give "
                "ray://HOST:10001, or leave --address at local"
            ) from None
    available = int(ray.cluster_resources().get("CPU", 0))
    return concurrency or max(available, 1)


def check_address(address: str) -> None:
    """Raise UserError unless `address` has one of the allowed forms."""
    if address not in ("local", "auto") and not address.startswith("ray://"):
        raise UserError(f"bad --address {address!r}; give local, auto or ray://HOST:PORT")
