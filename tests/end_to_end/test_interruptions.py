"""A sweep that is interrupted, held by another driver or killed, whose disk is full, or whose files are damaged."""

import json
import re
import shutil
import signal
import subprocess
import time

import psutil
import pytest
import torch
from support import faults, suspended
from support.commands import PATIENCE, TINY, run_sweep, running_sweep, wait_until
from support.disks import fill
from support.first_seconds import Moment, kill_first, run_again

from records.database import prepare_database

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


@pytest.mark.parametrize(
    "moment", [Moment(4), *(Moment(seconds, of_database=True) for seconds in (0, 1, 2.5))], ids=str
)
def test_after_a_kill_the_second_command_does_all(moment, tmp_path):
    kill_first(tmp_path, moment)
    assert run_again(tmp_path) == []


@pytest.mark.parametrize("server", ["raylet", "gcs_server"])
def test_a_lost_ray_is_said_in_one_line_and_the_second_command_does_all(server, tmp_path, tiny_sweep):
    sweep = (*TINY, "--name", "lost", "--concurrency", "2", "--tracking-uri", "none")
    with running_sweep(tmp_path, *sweep) as driver:
        wait_until(lambda: faults.workers(driver), driver)
        (victim,) = (p for p in psutil.Process(driver.pid).children(recursive=True) if p.name() == server)
        trial_processes = faults.workers(driver)
        victim.kill()
        started = time.monotonic()
        assert driver.wait(PATIENCE) == 1
        # Ray's core waits a minute before it ends the process.
        assert time.monotonic() - started < 45
    out = (tmp_path / "out").read_text()
    (said,) = (line for line in out.splitlines() if "Error:" in line)
    assert re.search(rf"Ray's process {server} ended.*Nothing is lost: \d of 7 trials done\. Repeat the command", said)
    assert not re.search(r"Traceback|state-dump|rpc_client", out)
    assert not (tmp_path / "sweeps/lost/lease.json").exists()
    assert not psutil.wait_procs(trial_processes, timeout=30)[1], "a trial outlived its sweep"
    ran = run_sweep(tmp_path, *sweep)
    assert ran.code == 0, ran
    assert faults.records_of(tmp_path / "sweeps/lost/records") == faults.records_of(tiny_sweep.records)


def test_a_full_disk_is_said_and_with_room_again_the_sweep_goes_on(small_disk, tmp_path, tiny_sweep):
    sweep = (*TINY, "--max-trials", "2", "--name", "full", "--storage", str(small_disk))
    ballast = fill(small_disk, but=60_000)
    ran = run_sweep(tmp_path, *sweep)
    assert ran.code == 1, ran
    assert "No space left on device; make room there, or give --storage a folder that has some" in ran.err
    assert "Traceback" not in ran.err + ran.out
    kept = faults.records_of(small_disk / "full/records")
    assert len(kept) < 2
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    ran = run_sweep(tmp_path, *sweep)
    assert ran.code == 0, ran
    assert f"2 trials, {2 - len(kept)} to run" in ran.out
    found, expected = faults.records_of(small_disk / "full/records"), faults.records_of(tiny_sweep.records)
    assert len(found) == 2
    assert found.items() <= expected.items()
    assert [path for path in (small_disk / "full").rglob("*") if path.name.startswith(".")] == []


def test_a_full_disk_of_mlflows_database_is_said_and_with_room_again_sync_fills_the_gaps(small_disk, tmp_path):
    suspended.make(tmp_path)
    uri = f"sqlite:///{small_disk / 'mlflow.db'}"
    prepare_database(uri, print)
    fill(small_disk, but=60_000)
    sync = ("--sync", "--name", "faults", "--tracking-uri", uri)
    ran = run_sweep(tmp_path, *sync)
    assert ran.code == 0, "nothing but MLflow is behind"
    assert f"MLflow at {uri}: (sqlite3.OperationalError) database or disk is full; the next run or --sync" in ran.out
    assert re.search(r"MLflow lacks \d+ trials\. Nothing is lost: this brings it up to date", ran.out), ran
    assert "Traceback" not in ran.err + ran.out
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    ran = run_sweep(tmp_path, *sync)
    assert ran.code == 0, ran
    assert suspended.problems(tmp_path, uri) == []


def test_damaged_files_are_set_aside_and_their_trials_run_again(tiny_sweep, tmp_path):
    shutil.copytree(tiny_sweep.folder, tmp_path, dirs_exist_ok=True)
    sweep = tmp_path / "sweeps/tiny"
    cut, lost, *_ = sorted((sweep / "records").iterdir())
    cut.write_bytes(cut.read_bytes()[:100])
    lost.unlink()
    (sweep / "records/notes.txt").write_text("mine")
    (sweep / "checkpoints").mkdir()
    (sweep / f"checkpoints/{lost.stem}.pt").write_bytes(b"PK no checkpoint")
    ran = run_sweep(tmp_path, *TINY, "--name", "tiny")
    assert ran.code == 0, ran
    assert "7 trials, 2 to run" in ran.out
    assert f"set aside tiny/set_aside/{cut.name}: not a JSON record (100 bytes): truncated or foreign" in ran.out
    assert "set aside tiny/set_aside/notes.txt" in ran.out
    assert {path.name for path in (sweep / "set_aside").iterdir()} == {cut.name, "notes.txt"}
    assert (sweep / "set_aside/notes.txt").read_text() == "mine"
    assert faults.records_of(sweep / "records") == faults.records_of(tiny_sweep.records)
    assert not list((sweep / "checkpoints").glob("*"))
