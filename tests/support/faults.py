"""Kill and suspend drivers, trial processes and the MLflow server of a real sweep, and check the results.

`make faults` runs the long form, `python tests/support/faults.py --kills 20 --freezes 10`; a test runs a short form.
"""

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import typer

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.commands import PATIENCE  # noqa: E402
from support.services import LOOPBACK, Service, free_ports, is_healthy  # noqa: E402

SETTINGS = ("n_train=64", "n_valid=32", "n_test=64", "epochs=3", "attribution_images=4", "integrated_gradients_steps=4")
SMALL = tuple(word for setting in SETTINGS for word in ("--set", setting))


@dataclass(frozen=True)
class Sweep:
    """The disturbed sweep."""

    arguments: tuple[str, ...]
    """Arguments of sweep.py."""
    trials: int
    reference: Path | None = None
    """The records of the same undisturbed sweep; None makes them first."""


def many_trials(trials: int) -> Sweep:
    """A sweep of small trials with more seeds than the built-in spaces."""
    space = str(Path(__file__).parent / "many_seeds.py")
    return Sweep((*SMALL, "--dataset", "synthetic", "--max-trials", str(trials), "--space", space), trials)


@dataclass
class Counts:
    """Numbers of killed or suspended and of started processes."""

    kills: Counter[str] = field(default_factory=Counter)
    drivers_started: int = 0


class Server(Service):
    """`mlflow server` on SQLite."""

    name = "mlflow-sqlite"

    def __init__(self) -> None:
        super().__init__()
        (self.port,) = free_ports(1)
        self.uri = f"http://{LOOPBACK}:{self.port}"

    def command(self) -> Sequence[str]:
        command = [sys.executable, "-m", "mlflow", "server", "--host", LOOPBACK, "--port", str(self.port)]
        command += ["--backend-store-uri", "sqlite:///server.db", "--workers", "1"]
        return [*command, "--artifacts-destination", str(self.folder / "artifacts")]

    def environment(self) -> Mapping[str, str]:
        # Its background jobs are not needed here, and would slow the trials down.
        return {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

    def ready(self) -> bool:
        return is_healthy(self.uri)


def start_driver(folder: Path, uri: str, sweep: Sweep) -> subprocess.Popen[bytes]:
    """`python sweep.py` on a sweep named `faults`."""
    command = [sys.executable, str(ROOT / "sweep.py"), *sweep.arguments, "--name", "faults"]
    command += ["--tracking-uri", uri, "--concurrency", "2"]
    with (folder / "driver.log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)


def workers(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Processes of trials that belong to a driver."""
    try:
        family = psutil.Process(driver.pid).children(recursive=True)
        return [p for p in family if re.match(r"ray::(?!IDLE|\w*Agent)", p.name())]
    except psutil.NoSuchProcess:
        return []


SECONDS = 60
"""After which a lease expires."""


def disturb(folder: Path, server: Server, sweep: Sweep, kills: int, seed: int, freezes: int = 0) -> Counts:
    """Run the sweep, killing `kills` drivers, trial processes and servers, then once more to its end.

    `freezes` drivers and servers are suspended; another driver takes the sweep over before the first one goes on.
    """
    rng = random.Random(seed)  # noqa: S311 -- reproducible moments, nothing secret
    todo = [kind for kind in ("driver", "worker", "server") for _ in range(kills)]
    todo += [kind for kind in ("frozen driver", "frozen server") for _ in range(freezes)]
    rng.shuffle(todo)
    counts = Counts()

    def started() -> "subprocess.Popen[bytes]":
        counts.drivers_started += 1
        return start_driver(folder, server.uri, sweep)

    driver = started()
    for kind in todo:
        time.sleep(rng.uniform(0.5, 20.0) if "driver" in kind else rng.uniform(0.2, 3.0))
        if driver.poll() is not None:
            driver = started()
        if kind == "driver":
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()
            driver = started()
        elif kind == "frozen driver":
            frozen = driver
            frozen.send_signal(signal.SIGSTOP)
            time.sleep(SECONDS + 1)
            driver = started()
            time.sleep(rng.uniform(0.0, 40.0))
            frozen.send_signal(signal.SIGCONT)
            frozen.wait(PATIENCE)
        elif kind == "frozen server":
            with server.suspended():
                time.sleep(rng.uniform(1.0, 40.0))
        elif kind == "server":
            server.kill()
            time.sleep(rng.uniform(0.0, 3.0))
            server.start()
        else:
            deadline = time.monotonic() + 60
            while not (running := workers(driver)) and driver.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
            for victim in rng.sample(running, min(1, len(running))):
                with suppress(psutil.NoSuchProcess):
                    victim.kill()
        counts.kills[kind] += 1
        print(f"{sum(counts.kills.values())}/{len(todo)} {kind}, {done(folder)} trials done", flush=True)
    driver.wait(PATIENCE)
    for _ in range(2):
        # Run trials again that failed after three kills, and fill the gaps in MLflow.
        started().wait(PATIENCE)
    return counts


def done(folder: Path) -> int:
    return len(list((folder / "sweeps/faults/records").glob("*.json")))


def records_of(records: Path) -> dict[str, dict[str, object]]:
    """Records by trial key, without columns that may differ between two runs of one configuration."""
    from records import SweepRecords, open_storage
    from records.columns import is_run_specific

    loaded = SweepRecords(open_storage(records.parents[1]), records.parent.name).load()
    assert loaded.rejected == {}
    return {str(r["trial_key"]): {k: v for k, v in r.items() if not is_run_specific(k)} for r in loaded.records}


def problems(folder: Path, reference: Path, server: Server, trials: int) -> list[str]:
    """Errors of a disturbed sweep: in records, MLflow runs, and files left behind."""
    from driver.ray.run import scratch_prefix

    mine, expected = records_of(folder / "sweeps/faults/records"), records_of(reference)
    wrong = [] if len(mine) == trials else [f"{len(mine)} records of {trials} trials"]
    wrong += [f"record {key} differs" for key in expected if mine.get(key) != expected[key]]
    wrong += mirror_problems(server.uri, "faults", mine)
    scratch = Path(tempfile.gettempdir()).glob(f"{scratch_prefix(str(folder / 'sweeps'), 'faults')}*")
    wrong += [f"left behind: {path}" for path in scratch]
    return wrong + left_behind(folder / "sweeps/faults")


def mirror_problems(uri: str, sweep: str, records: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Errors of a finished sweep in MLflow: one run for each record, and one of the sweep."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name(sweep).experiment_id], max_results=50_000)
    count = Counter(run.data.tags["trial_key"] for run in runs if run.data.tags["kind"] == "trial")
    wrong = [f"{count[key]} MLflow runs of {key}" for key in records.keys() | count.keys() if count[key] != 1]
    wrong += [f"MLflow run of {key}, which has no record" for key in count.keys() - records.keys()]
    if (parents := len(runs) - count.total()) != 1:
        wrong.append(f"{parents} MLflow runs of the sweep")
    for run in runs:
        files, folder = {"report", "sweep.json", "trials.parquet"}, None
        if key := run.data.tags.get("trial_key"):
            folder = "attribution"
            files = {f"{folder}/{name}" for name in ("epochs.json", "maps.npz", "saliency.png")}
            if run.data.metrics.get("test_ood/auc") != records.get(key, {}).get("test_ood.auc"):
                wrong.append(f"MLflow run {run.info.run_id} lacks its metrics")
        if (kept := {file.path for file in client.list_artifacts(run.info.run_id, folder)}) != files:
            wrong.append(f"MLflow run {run.info.run_id} has artifacts {sorted(kept)}")
        if run.info.status != "FINISHED":
            wrong.append(f"MLflow run {run.info.run_id} is {run.info.status}")
    return wrong


def left_behind(sweep: Path) -> list[str]:
    """Files of a finished sweep that should not be there, and files that are missing."""
    expected = {"records", "artifacts", "report", "logs", "sweep.json", "trials.parquet"}
    wrong = [f"left behind or missing: {name}" for name in expected ^ {path.name for path in sweep.iterdir()}]
    return wrong + [f"left behind: {path}" for path in sweep.rglob(".*")]


def run(folder: Path, sweep: Sweep, kills: int, seed: int, freezes: int = 0) -> tuple[Counts, list[str]]:
    """Run the sweep undisturbed, unless its records are given, and disturbed; returns the kills and the errors."""
    reference = sweep.reference
    if reference is None:
        (folder / "reference").mkdir()
        with Server() as server:
            if (code := start_driver(folder / "reference", server.uri, sweep).wait(PATIENCE)) != 0:
                log = (folder / "reference/driver.log").read_text(errors="replace")
                return Counts(), [f"the undisturbed sweep ended with {code}:\n{log[-3000:]}"]
        reference = folder / "reference/sweeps/faults/records"
    (folder / "disturbed").mkdir()
    with Server() as server:
        counts = disturb(folder / "disturbed", server, sweep, kills, seed, freezes)
        return counts, problems(folder / "disturbed", reference, server, sweep.trials)


def main(kills: int = 20, freezes: int = 10, trials: int = 63, seed: int = 0) -> None:
    """Kill `kills` drivers, trial processes and MLflow servers each, suspend `freezes`, and print the errors."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        counts, found = run(Path(folder), many_trials(trials), kills, seed, freezes)
        print(f"disturbed {dict(counts.kills)}, {counts.drivers_started} drivers started")
        print(
            "\n".join(found) or f"{trials} trials: one record and one MLflow run each, equal to the undisturbed sweep"
        )
    raise typer.Exit(bool(found))


if __name__ == "__main__":
    typer.run(main)
