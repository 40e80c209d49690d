"""Suspend or kill a command at a random moment of `--sync`, which mirrors and reports, and check what remains.

Another command takes the sweep over from a suspended one, and when it has finished, the first goes on.
`make faults` runs the long form, `python tests/support/suspended.py --times 20`; tests run a few.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import typer

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.commands import PATIENCE, environment  # noqa: E402
from support.faults import Server, left_behind, mirror_problems, records_of  # noqa: E402
from support.layered_trials import Layer, layered  # noqa: E402

LEASE = 6.0
"""Seconds until a lease expires in these runs; a sweep's own lasts a minute."""
PROGRAM = f"""
import sys
from driver.upkeep import lease
lease.SECONDS, lease.RENEW_EVERY = {LEASE}, 1.0
import sweep
sys.argv[0] = "sweep.py"
sweep.main()
"""


def make(folder: Path, sweep: str = "faults") -> None:
    """A sweep of 24 finished trials that MLflow does not have yet."""
    from records import Manifest, SweepRecords, columns, open_storage

    records = SweepRecords(open_storage(folder / "sweeps"), sweep)
    table = layered(seed=Layer(0.5), methods=("baseline", "masked", "actdiff", "rrr"), strengths=(1.0,), seeds=6)
    for number, row in enumerate(table.to_dict("records")):
        key = f"{number:016d}"
        for name in ("epochs.json", "maps.npz", "saliency.png"):
            records.write_artifact(key, name, b"[]")
        row |= {"trial_key": key, "sweep": sweep, "status": "completed", "schema_version": columns.SCHEMA_VERSION}
        records.write(row)
    records.write_manifest(Manifest(space="smoke", planned_trials=len(table)))


def start(folder: Path, uri: str, *arguments: str, name: str = "faults", log: str = "log") -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", PROGRAM, *(arguments or ["--sync"]), "--name", name, "--tracking-uri", uri]
    with (folder / log).open("ab") as out:
        return subprocess.Popen(
            command, cwd=folder, env=environment(PYTHONPATH=str(ROOT)), stdout=out, stderr=out, start_new_session=True
        )


def problems(folder: Path, uri: str, sweep: str = "faults") -> list[str]:
    """Errors of a finished sweep: in its MLflow runs, in the runs that records name, and in the files left behind."""
    from records import SweepRecords, open_storage
    from records.mirror import Experiment, mirrored_runs
    from records.mlflow_client import connected

    path = folder / "sweeps" / sweep
    wrong = mirror_problems(uri, sweep, records_of(path / "records")) + left_behind(path)
    with connected(uri) as client:
        experiment = client.get_experiment_by_name(sweep).experiment_id
    runs = mirrored_runs(Experiment(uri, experiment, ""))
    for record in SweepRecords(open_storage(folder / "sweeps"), sweep).load().records:
        if record["mlflow_run_id"] != runs.get(record["trial_key"]):
            wrong.append(f"record {record['trial_key']} names another run than MLflow has")
    text = "".join(log.read_text(errors="replace") for log in folder.glob("*log"))
    return wrong + (["a traceback"] if "Traceback" in text else [])


def suspend(first: "subprocess.Popen[bytes]", folder: Path, uri: str, sweep: str = "faults") -> int:
    """Suspend `first`, let another command finish the sweep, continue `first`, and return its exit code."""
    os.kill(first.pid, signal.SIGSTOP)
    try:
        time.sleep(LEASE + 1)
        second = start(folder, uri, name=sweep, log="second.log")
        assert second.wait(PATIENCE) == 0, (folder / "second.log").read_text()
    finally:
        os.kill(first.pid, signal.SIGCONT)
    return first.wait(PATIENCE)


def main(times: int = 20, seed: int = 0) -> None:
    """Suspend the command so many times, then kill it as often, each at another moment, and print the errors."""
    rng = random.Random(seed)  # noqa: S311 -- reproducible moments, nothing secret
    survived = 0
    with Server() as server:
        longest = 0.0
        for number in range(2 * times + 1):
            with tempfile.TemporaryDirectory(prefix="suspended-") as name:
                folder, sweep = Path(name), f"faults{number}"
                make(folder, sweep)
                begin = time.monotonic()
                first = start(folder, server.uri, name=sweep)
                if not number:
                    # Undisturbed, which says how long the command takes.
                    first.wait(PATIENCE)
                    longest = time.monotonic() - begin
                    kind = f"undisturbed, {longest:.0f} s"
                else:
                    time.sleep(moment := rng.uniform(0.2 * longest, longest))
                    if number <= times:
                        code = suspend(first, folder, server.uri, sweep)
                        kind = f"suspended at {moment:.1f} s, ended with {code}"
                    else:
                        os.killpg(first.pid, signal.SIGKILL)
                        first.wait()
                        code = start(folder, server.uri, name=sweep).wait(PATIENCE)
                        kind = f"killed at {moment:.1f} s, the next ended with {code}"
                found = problems(folder, server.uri, sweep)
            survived += not found
            print(f"{kind}: {'; '.join(found) or 'one run for each record'}", flush=True)
    raise typer.Exit(survived <= 2 * times)


if __name__ == "__main__":
    typer.run(main)
