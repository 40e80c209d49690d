"""A sweep that is interrupted, held by another driver, shown by --status, and killed."""

import json
import re
import signal
import time

import psutil
import pytest
import torch
from support import faults
from support.commands import PATIENCE, TINY, run_sweep, running_sweep, wait_until

pytestmark = pytest.mark.slow

# One trial in epochs of up to a second, far longer than the tests let it run.
LONG = ("--dataset", "synthetic", "--max-trials", "1", "--set", "epochs=200", "--set", "n_test=64", "--name", "long")


def trains(driver):
    """Whether a trial of the driver is some epochs on: importing takes it four to eight seconds of processor."""
    return any(process.cpu_times().user > 16 for process in faults.workers(driver))


def test_an_interrupt_leaves_a_checkpoint_and_the_next_run_continues_from_it(tmp_path):
    sweep, epochs = tmp_path / "sweeps/long", []
    # SIGTERM is how a cluster ends a process; Ray has a handler for it.
    for number in (signal.SIGINT, signal.SIGTERM):
        with running_sweep(tmp_path, *LONG) as driver:
            wait_until(lambda driver=driver: trains(driver), driver)
            driver.send_signal(number)
            assert driver.wait(PATIENCE) == 130
        out = (tmp_path / "out").read_text()
        assert "Stopping after this epoch, with checkpoints. Ctrl-C again stops at once." in out
        assert "Interrupted: 0 of 1 trial done. Repeat the command to go on." in out
        assert "Traceback" not in out
        (checkpoint,) = (sweep / "checkpoints").iterdir()
        trial = torch.load(checkpoint, weights_only=True)["trial"]
        assert len(trial["history"]["fixed"]) == trial["epoch"]
        epochs.append(trial["epoch"])
        assert not (sweep / "lease.json").exists()
        assert not (sweep / "records").exists()
    assert 1 < epochs[0] < epochs[1]


def test_a_running_sweep_is_shown_held_and_stopped_at_once(tmp_path):
    with running_sweep(tmp_path, *LONG, "--set", "model=resnet18") as driver:
        wait_until(lambda: (tmp_path / "sweeps/long/lease.json").exists(), driver)
        holder = f"process {driver.pid}"
        assert holder in run_sweep(tmp_path, "--status", "--name", "long").out
        second = run_sweep(tmp_path, *LONG)
        assert second.code == 1, "later it may be free"
        assert re.search(rf"sweep 'long' is being run by .*{holder}.*--fresh", second.err), second.err
        trial_processes = wait_until(lambda: faults.workers(driver), driver)
        running = run_sweep(tmp_path, "--status", "--name", "long").out
        assert holder in running
        assert "0 of 1 trial done" in running

        driver.send_signal(signal.SIGINT)
        time.sleep(0.5)
        driver.send_signal(signal.SIGINT)
        assert driver.wait(PATIENCE) == 130, (tmp_path / "out").read_text()
    _, alive = psutil.wait_procs(trial_processes, timeout=PATIENCE)
    assert not alive, "a trial outlived its sweep"


def test_the_status_of_a_finished_sweep(tiny_sweep):
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
