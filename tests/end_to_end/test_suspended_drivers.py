"""A driver that is suspended while it mirrors and reports, whose sweep another one finishes meanwhile; and readers."""

import time

import pytest
from mlflow.tracking import MlflowClient
from support import suspended
from support.commands import wait_until
from support.faults import Server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


def runs_of(server, sweep):
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name(sweep)
    return [] if experiment is None else client.search_runs([experiment.experiment_id], "tags.kind = 'trial'")


def test_a_suspended_driver_that_goes_on_makes_no_second_run(server, tmp_path):
    suspended.make(tmp_path, "lost")
    first = suspended.start(tmp_path, server.uri, name="lost")
    wait_until(lambda: len(runs_of(server, "lost")) >= 4, first)
    assert suspended.suspend(first, tmp_path, server.uri, "lost") == 1
    assert suspended.problems(tmp_path, server.uri, "lost") == []
    assert "sweep 'lost' was taken over by " in (said := (tmp_path / "log").read_text()), said
    assert "this driver was silent for" in said


def test_a_suspended_driver_whose_sweep_stayed_its_own_goes_on(server, tmp_path):
    suspended.make(tmp_path, "kept")
    first = suspended.start(tmp_path, server.uri, name="kept")
    wait_until(lambda: len(runs_of(server, "kept")) >= 4, first)
    first.send_signal(suspended.signal.SIGSTOP)
    time.sleep(suspended.LEASE + 1)
    first.send_signal(suspended.signal.SIGCONT)
    assert first.wait(suspended.PATIENCE) == 0, (tmp_path / "log").read_text()
    assert suspended.problems(tmp_path, server.uri, "kept") == []


def test_readers_of_the_status_disturb_no_driver(server, tmp_path):
    sweeps = ("left", "right")
    for sweep in sweeps:
        suspended.make(tmp_path, sweep)
    drivers = {sweep: suspended.start(tmp_path, server.uri, name=sweep, log=f"{sweep}.log") for sweep in sweeps}
    wait_until(lambda: all(runs_of(server, sweep) for sweep in sweeps), drivers["left"])
    readers = [suspended.start(tmp_path, server.uri, "--status", name=sweeps[i % 2], log=f"{i}.log") for i in range(10)]
    assert [reader.wait(suspended.PATIENCE) for reader in readers] == [0] * 10
    for sweep, driver in drivers.items():
        assert driver.wait(suspended.PATIENCE) == 0, (tmp_path / f"{sweep}.log").read_text()
        assert suspended.problems(tmp_path, server.uri, sweep) == []
    assert "24 of 24 trials done" in (tmp_path / "0.log").read_text()
