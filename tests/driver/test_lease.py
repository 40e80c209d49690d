"""One driver a sweep: the second is told who holds it, a dead one never blocks."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time

import pytest
from support.commands import PATIENCE
from support.need import need

from driver import UserError
from driver.upkeep import lease as lease_module
from driver.upkeep.lease import Lease, expired, read_lease
from records import SweepRecords, open_storage


@pytest.fixture
def records(tmp_path):
    return SweepRecords(open_storage(tmp_path), "held")


def take(records, lost=print):
    return Lease(records, lambda: {"done": 3}, lost)


def stored(records):
    return read_lease(records)


def test_it_is_there_while_held_and_gone_afterwards(records):
    with take(records):
        lease = stored(records)
        assert lease["pid"] == os.getpid()
        assert lease["done"] == 3
        assert not expired(lease)
    assert stored(records) is None
    assert records.storage.names("held/") == []


def test_a_second_driver_is_told_who_holds_it(records):
    with take(records):
        with pytest.raises(
            UserError, match=rf"sweep 'held' is being run by .*process {os.getpid()}.*--name or --fresh"
        ):
            take(records).__enter__()
        assert stored(records)["pid"] == os.getpid(), "the refused driver leaves the lease alone"


def test_a_dead_process_of_this_host_does_not_block(records):
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    with take(records) as held:
        pass
    content = json.loads(held.written) | {"pid": dead.pid, "process_started": time.time()}
    records.storage.write("held/lease.json", json.dumps(content).encode())
    with take(records):
        assert stored(records)["pid"] == os.getpid()


def test_a_driver_in_a_container_of_the_same_name_blocks(records):
    """Its process number says nothing here, where another process, or none, may have it."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc"]
    allowed = shutil.which("unshare") and subprocess.run([*unshare, "true"], check=False).returncode == 0
    need(None if allowed else "unshare may not make a process namespace here, as root may")
    holds = (
        "import sys; from driver.upkeep.lease import Lease; from records import SweepRecords, open_storage\n"
        "with Lease(SweepRecords(open_storage(sys.argv[1]), 'held'), dict, print): print('held', flush=True); input()"
    )
    command = [*unshare, sys.executable, "-c", holds, str(records.storage.location)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as container:
        assert container.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=r"is being run by .*process \d,"):
            take(records).__enter__()
        container.communicate("\n")
    with take(records):
        pass


@pytest.mark.parametrize(("age", "free"), [(0.0, False), (lease_module.SECONDS + 1, True)])
def test_a_silent_driver_of_another_host_blocks_until_the_lease_expires(records, age, free):
    with take(records) as held:
        pass
    content = json.loads(held.written) | {"host": "elsewhere", "renewed_at": time.time() - age}
    records.storage.write("held/lease.json", json.dumps(content).encode())
    if free:
        with take(records):
            assert stored(records)["host"] != "elsewhere"
    else:
        with pytest.raises(UserError, match="is being run by"):
            take(records).__enter__()


def test_a_file_that_is_no_lease_does_not_block(records):
    records.storage.write("held/lease.json", b"{")
    with take(records):
        assert stored(records)["pid"] == os.getpid()


def test_a_driver_that_lost_its_lease_is_told_and_leaves_the_new_one(records, monkeypatch):
    monkeypatch.setattr(lease_module, "RENEW_EVERY", 0.02)
    lost = []
    with take(records, lost.append):
        other = json.dumps({"of": "somebody else"}).encode()
        # A renewal may come between; what counts is that ours ends with somebody else's in place.
        deadline = time.monotonic() + PATIENCE
        while not lost and time.monotonic() < deadline:
            records.storage.write("held/lease.json", other)
            time.sleep(0.01)
    assert len(lost) == 1
    assert re.match(r"sweep 'held' was taken over by another driver: this driver was silent for \d+ s", lost[0])
    assert records.storage.read("held/lease.json") == other


def test_it_is_renewed(records, monkeypatch):
    monkeypatch.setattr(lease_module, "RENEW_EVERY", 0.02)
    with take(records):
        first = stored(records)["renewed_at"]
        deadline = time.monotonic() + PATIENCE
        while stored(records)["renewed_at"] == first:
            assert time.monotonic() < deadline, "the lease was never renewed"


def test_it_is_renewed_though_the_progress_cannot_be_said(records, monkeypatch):
    monkeypatch.setattr(lease_module, "RENEW_EVERY", 0.02)
    with Lease(records, lambda: 1 / 0, print):
        first = stored(records)["renewed_at"]
        deadline = time.monotonic() + PATIENCE
        while stored(records)["renewed_at"] == first:
            assert time.monotonic() < deadline, "the lease was never renewed"


@pytest.mark.parametrize("error", [KeyError, OSError])
def test_a_user_without_a_name_is_a_number(error, monkeypatch):
    def unknown():
        raise error

    monkeypatch.setattr("getpass.getuser", unknown)
    assert lease_module.user() == str(os.getuid())


def test_a_renewal_whose_answer_was_lost_does_not_count_as_a_loss(records, monkeypatch):
    monkeypatch.setattr(lease_module, "RENEW_EVERY", 0.02)
    replace, lost, answers = records.storage.replace, [], []

    def answer_lost(*arguments):
        answers.append(replace(*arguments))
        return len(answers) > 1

    monkeypatch.setattr(records.storage, "replace", answer_lost)
    with take(records, lost.append) as held:
        deadline = time.monotonic() + PATIENCE
        while len(answers) < 3:
            assert time.monotonic() < deadline, "it stopped renewing"
            time.sleep(0.01)
        assert stored(records)["token"] == held.token
    assert lost == []
    assert answers[:3] == [True, True, True]
    assert stored(records) is None


def held_elsewhere(records, silent_for):
    """A lease of another host, last renewed so many seconds ago."""
    with take(records) as held:
        pass
    content = json.loads(held.written) | {"host": "elsewhere", "renewed_at": time.time() - silent_for}
    records.storage.write("held/lease.json", json.dumps(content).encode())


def test_a_driver_started_again_waits_for_its_own_silent_lease(records):
    held_elsewhere(records, silent_for=lease_module.SECONDS - 1)
    with pytest.raises(UserError, match="is being run by"):
        take(records).__enter__()
    with Lease(records, lambda: {}, print, patience=5):
        assert stored(records)["pid"] == os.getpid()


def test_patience_ends_at_once_where_the_holder_is_alive(records):
    with take(records) as holder:
        started = time.monotonic()
        threading.Timer(0.5, lambda: records.storage.write("held/lease.json", holder._content())).start()
        with pytest.raises(UserError, match="is being run by"):
            Lease(records, lambda: {}, print, patience=60).__enter__()
        assert time.monotonic() - started < 10
