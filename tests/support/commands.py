"""The real command line, and a sweep of seconds."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

PATIENCE = 900.0
"""Seconds after which a process counts as hung: ten times the maximum on an idle machine, so that tests do not fail on
a busy or slow machine."""

# A sweep of seconds: all seven methods on few small trials.
TINY = (
    *("--space", "own_data", "--dataset", "synthetic", "--max-trials", "7"),
    *("--set", "n_train=64", "--set", "n_valid=32", "--set", "n_test=64", "--set", "epochs=2"),
    *("--set", "attribution_images=8", "--set", "integrated_gradients_steps=4", "--set", "severity=1"),
)


@dataclass(frozen=True)
class Ran:
    """The result of a command."""

    code: int
    out: str
    err: str


def environment(**variables: str) -> dict[str, str]:
    """The variables of this process except those of MLflow and Ray, and the given ones."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "RAY_"))} | variables


def run_sweep(folder: Path, *arguments: str, **variables: str) -> Ran:
    """`python sweep.py` with `arguments`, in `folder`, with further environment `variables`."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "sweep.py"), *arguments],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


Process = subprocess.Popen[bytes]


@contextmanager
def running_sweep(folder: Path, *arguments: str, before: str = "", **variables: str) -> Iterator[Process]:
    """`python sweep.py` in the background, after the code `before`; killed at the end. Its output is in folder/out."""
    program = f"import sweep, sys; sys.argv[0] = 'sweep.py'; {before}; sweep.main()"
    command = [sys.executable, "-c", program] if before else [sys.executable, str(ROOT / "sweep.py")]
    values = environment(PYTHONPATH=str(ROOT)) | variables
    with (folder / "out").open("wb") as out:
        driver = subprocess.Popen(
            [*command, *arguments], cwd=folder, env=values, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield driver
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()


def wait_until(condition: Callable[[], Any], driver: Process) -> Any:
    """The condition's first true value, while the driver runs."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert driver.poll() is None, "the driver has ended"
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.1)
    return value


@dataclass(frozen=True)
class TinySweep:
    """A finished sweep named `tiny` with seven trials, one per method, and the folder in which it ran."""

    folder: Path
    ran: Ran

    @property
    def records(self) -> Path:
        return self.folder / "sweeps" / "tiny" / "records"

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"
