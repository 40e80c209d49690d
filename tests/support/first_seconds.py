"""Kill the first command of a sweep at a given moment, and check the sweep after the second command.

`python tests/support/first_seconds.py --kills 40` spreads many moments over the whole command; a test uses a few.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import typer

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.commands import PATIENCE, TINY, environment  # noqa: E402
from support.faults import left_behind, mirror_problems, records_of  # noqa: E402

ONE_TRIAL = (*TINY, "--max-trials", "1", "--name", "first")
LAST, DATABASE = 20.0, 5.0
"""Seconds within which the command is killed, after its start and after that of MLflow's database (two or three)."""


@dataclass(frozen=True)
class Moment:
    """When the first command is killed."""

    seconds: float
    of_database: bool = False
    """Counted from the start of MLflow's database, not of the command."""

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s {'into the database' if self.of_database else 'after the start'}"


def moments(kills: int) -> list[Moment]:
    """Half of the moments over the first 20 seconds, half over the first five of MLflow's database."""
    shares = [i / max(1, kills // 2 - 1) for i in range(kills // 2)]
    return [*(Moment(LAST * i) for i in shares), *(Moment(DATABASE * i, of_database=True) for i in shares)]


def start(folder: Path) -> "subprocess.Popen[bytes]":
    (folder / "tmp").mkdir(exist_ok=True)
    with (folder / "command.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "sweep.py"), *ONE_TRIAL],
            cwd=folder,
            # Ray's sockets need a short path.
            env=environment(TMPDIR=str(folder / "tmp"), RAY_TMPDIR=tempfile.gettempdir()),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def kill_first(folder: Path, moment: Moment) -> bool:
    """Start the command in the empty `folder` and kill its process group; whether it still ran."""
    command = start(folder)
    deadline = time.monotonic() + PATIENCE
    # MLflow starts its database in a temporary folder.
    while moment.of_database and not [*(folder / "tmp").glob("mlflow-*/*"), *folder.glob("mlflow.db")]:
        assert command.poll() is None, (folder / "command.log").read_text()
        assert time.monotonic() < deadline, "no database"
        time.sleep(0.01)
    time.sleep(moment.seconds)
    alive = command.poll() is None
    if alive:
        os.killpg(command.pid, signal.SIGKILL)
        command.wait()
    return alive


def run_again(folder: Path) -> list[str]:
    """Run the command to its end, and return its errors: in its record, MLflow runs, and files left behind."""
    code = start(folder).wait(PATIENCE)
    log = (folder / "command.log").read_text(errors="replace")
    if code != 0 or "Traceback" in log:
        return [f"the second command ended with {code}: {log[-1500:]}"]
    records = records_of(folder / "sweeps/first/records")
    statuses = [record["status"] for record in records.values()]
    wrong = [] if statuses == ["completed"] else [f"records {statuses}"]
    wrong += mirror_problems(f"sqlite:///{folder / 'mlflow.db'}", "first", records)
    return wrong + left_behind(folder / "sweeps/first")


def main(kills: int = 40) -> None:
    """Kill the first command of so many sweeps, each at another moment, and say which second command went wrong."""
    killed = survived = 0
    for moment in moments(kills):
        with tempfile.TemporaryDirectory(prefix="first-") as folder:
            ran = kill_first(Path(folder), moment)
            wrong = run_again(Path(folder))
        killed, survived = killed + ran, survived + (not wrong)
        print(f"{moment}{'' if ran else ' (it had ended)'}: {'; '.join(wrong) or 'survived'}", flush=True)
    print(f"{killed} of {kills} commands were killed; {survived} of {kills} second commands did all that they should")
    raise typer.Exit(survived < kills)


if __name__ == "__main__":
    typer.run(main)
