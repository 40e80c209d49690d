"""A sweep that is interrupted, held by another driver, looked at from outside, and killed."""

import json
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch
from support import faults
from support.commands import PATIENCE, ROOT, TINY, environment, run_sweep

pytestmark = pytest.mark.slow

# One trial in epochs of up to a second: far longer than it is let run.
LONG = ("--dataset", "synthetic", "--max-trials", "1", "--set", "epochs=200", "--set", "n_test=64", "--name", "long")


def start(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, str(ROOT / "sweep.py"), *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def until(condition, driver):
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never happened"
        assert driver.poll() is None, driver.stdout.read()
        time.sleep(0.1)
    return value


def trains(driver):
    """Whether a trial of the driver is some epochs on: importing takes it four to eight seconds of processor."""
    return any(process.cpu_times().user > 16 for process in faults.workers(driver))


def test_one_interrupt_leaves_a_checkpoint_and_the_next_run_continues_from_it(tmp_path):
    driver = start(tmp_path, *LONG)
    until(lambda: trains(driver), driver)
    driver.send_signal(signal.SIGINT)
    out, _ = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 130, out
    assert "Stopping after this epoch, with checkpoints. Ctrl-C again stops at once." in out
    assert "Interrupted: 0 of 1 trial done. Repeat the command to go on." in out
    assert "Traceback" not in out
    sweep = tmp_path / "sweeps/long"
    (checkpoint,) = (sweep / "checkpoints").iterdir()
    first = torch.load(checkpoint, weights_only=True)["trial"]["epoch"]
    assert first > 1
    assert not (sweep / "lease.json").exists()
    assert not (sweep / "records").exists()

    again = start(tmp_path, *LONG)
    until(lambda: trains(again), again)
    # A cluster's way of asking for an end; Ray has a handler of its own for it.
    again.send_signal(signal.SIGTERM)
    out, _ = again.communicate(timeout=PATIENCE)
    assert again.returncode == 130, out
    assert "Stopping after this epoch, with checkpoints." in out
    state = torch.load(checkpoint, weights_only=True)
    assert len(state["trial"]["history"]["fixed"]) == state["trial"]["epoch"] > first


def test_while_it_runs_it_is_seen_held_and_stopped_at_once(tmp_path):
    driver = start(tmp_path, *LONG, "--set", "model=resnet18")
    until(lambda: (tmp_path / "sweeps/long/lease.json").exists(), driver)
    starting = run_sweep(tmp_path, "--status", "--name", "long")
    assert f"process {driver.pid}" in starting.out, starting
    second = run_sweep(tmp_path, *LONG)
    assert second.code == 1, "later it may be free"
    assert re.search(rf"sweep 'long' is being run by .*process {driver.pid}.*--fresh", second.err), second.err
    trial_processes = until(lambda: faults.workers(driver), driver)
    running = run_sweep(tmp_path, "--status", "--name", "long")
    assert f"process {driver.pid}" in running.out, running
    assert "0 of 1 trial done" in running.out

    driver.send_signal(signal.SIGINT)
    time.sleep(0.5)
    driver.send_signal(signal.SIGINT)
    out, _ = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 130, out
    _, alive = psutil.wait_procs(trial_processes, timeout=PATIENCE)
    assert not alive, "a trial outlived its sweep"


def test_status_of_a_sweep_that_ended_and_of_none(tmp_path, tiny_sweep):
    nothing = run_sweep(tmp_path, "--status", "--name", "none")
    assert nothing.code == 2
    assert "there is no sweep at" in nothing.err
    ended = run_sweep(tiny_sweep.folder, "--status", "--name", "tiny")
    assert ended.code == 0, ended
    for piece in (
        "7 of 7 trials done: 7 completed, 0 failed, 0 diverged",
        "Finished up to --max-trials. The other trials of the plan: python sweep.py --space own_data",
        "sweeps/tiny/report/report.html",
        "MLflow is up to date",
    ):
        assert piece in ended.out, ended.out


def test_the_log_is_one_json_object_a_line(tiny_sweep):
    logs = sorted((tiny_sweep.folder / "sweeps/tiny/logs").iterdir())
    events = [json.loads(line) for line in logs[0].read_text().splitlines()]
    assert [e["event"] for e in events] == ["start", *["trial"] * 7, "end", "stop"]
    assert events[0]["planned"] == 7
    assert {e["status"] for e in events if e["event"] == "trial"} == {"completed"}
    assert events[-1]["done"] == 7


def test_nothing_is_lost_or_repeated_under_kills(tmp_path, tiny_sweep):
    counts, found = faults.run(tmp_path, faults.Sweep(TINY, 7, tiny_sweep.records), kills=1, seed=1)
    assert found == []
    assert counts.kills == {"driver": 1, "worker": 1, "server": 1}
