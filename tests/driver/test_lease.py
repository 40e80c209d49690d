"""One driver per sweep: a second one names the holder, and a dead one never blocks; and its reaction to signals."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from support.commands import PATIENCE
from support.need import need

from driver import UserError
from driver.upkeep import lease as lease_module
from driver.upkeep.lease import SECONDS, Lease, read_lease
from driver.upkeep.stop import Stop
from records import SweepRecords, open_storage
from records.fence import LostError


@pytest.fixture
def records(tmp_path):
    return SweepRecords(open_storage(tmp_path), "held")


@pytest.fixture
def fast_renewal(monkeypatch):
    monkeypatch.setattr(lease_module, "RENEW_EVERY", 0.02)


def take(records, lost=print, status=lambda: {"done": 3}, patience=0.0):
    return Lease(records, status, lost, patience)


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def leave_behind(records, age=0.0, **changes):
    """A lease that its holder did not remove, renewed `age` seconds ago, with changed entries."""
    with take(records) as held:
        pass
    content = json.loads(held.written) | changes
    records.storage.write("held/lease.json", json.dumps(content).encode())
    os.utime(records.storage.root / "held/lease.json", (time.time() - age,) * 2)


def assert_held(records, **options):
    with pytest.raises(UserError, match=r"sweep 'held' is being run by .*process \d+.*--name or --fresh"):
        take(records, **options).__enter__()


def test_it_exists_while_held_and_another_driver_leaves_it_alone(records):
    with take(records):
        assert_held(records)
        lease = read_lease(records)
        assert (lease.pid, lease.expired) == (os.getpid(), False)
        assert json.loads(records.storage.read("held/lease.json"))["done"] == 3
    assert records.storage.names("held/") == []


def test_a_dead_process_of_this_host_and_a_foreign_file_do_not_block(records):
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    leave_behind(records, pid=dead.pid, process_started=time.time())
    with take(records):
        assert read_lease(records).pid == os.getpid()
    records.storage.write("held/lease.json", b"{")
    with take(records):
        assert read_lease(records).pid == os.getpid()


def test_a_driver_in_a_container_of_the_same_name_blocks(records):
    """Its process number means nothing here, where another process, or none, may have it."""
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
        assert_held(records)
        container.communicate("\n")
    with take(records):
        pass


def test_a_silent_driver_of_another_host_blocks_until_its_lease_expires(records):
    leave_behind(records, host="elsewhere")
    assert_held(records)
    records.storage.delete("held/lease.json")
    leave_behind(records, SECONDS + 1, host="elsewhere")
    with take(records) as lease:
        assert read_lease(records).host != "elsewhere"
        assert lease.took_over


def test_a_driver_that_lost_its_lease_learns_it_and_leaves_the_new_one(records, fast_renewal):
    lost, other = [], json.dumps({"of": "somebody else"}).encode()

    def overwrite():
        # A renewal may come between; in the end the other lease stays.
        records.storage.write("held/lease.json", other)
        return lost

    with take(records, lost.append):
        wait_until(overwrite)
    (message,) = lost
    assert re.match(r"sweep 'held' was taken over by another driver: this driver was silent for \d+ s", message)
    assert records.storage.read("held/lease.json") == other


@pytest.mark.parametrize("status", [dict, lambda: 1 / 0], ids=["progress", "no progress"])
def test_it_is_renewed_even_without_progress(status, records, fast_renewal):
    with take(records, status=status):
        first = read_lease(records).renewed_at
        wait_until(lambda: read_lease(records).renewed_at != first)


@pytest.mark.parametrize("error", [KeyError, OSError])
def test_a_user_without_a_name_is_a_number(error, monkeypatch):
    def unknown():
        raise error

    monkeypatch.setattr("getpass.getuser", unknown)
    assert lease_module.user() == str(os.getuid())


def test_a_renewal_whose_answer_was_lost_is_no_loss(records, fast_renewal, monkeypatch):
    replace, lost, answers = records.storage.replace, [], []

    def answer_lost(*arguments):
        answers.append(replace(*arguments))
        return len(answers) > 1

    monkeypatch.setattr(records.storage, "replace", answer_lost)
    with take(records, lost.append) as held:
        wait_until(lambda: len(answers) >= 3)
        assert read_lease(records).token == held.token
    assert (lost, answers[:3], read_lease(records)) == ([], [True] * 3, None)


def test_a_restarted_driver_waits_for_its_own_silent_lease(records):
    leave_behind(records, SECONDS - 1, host="elsewhere")
    assert_held(records)
    with take(records, patience=5):
        assert read_lease(records).pid == os.getpid()


def test_patience_ends_at_once_if_the_holder_is_alive(records):
    with take(records) as holder:
        started = time.monotonic()
        threading.Timer(0.5, lambda: records.storage.write("held/lease.json", holder._content())).start()
        assert_held(records, patience=60)
        assert time.monotonic() - started < 10


@pytest.mark.parametrize("hours", [24, -1])
def test_the_clock_of_the_holder_does_not_matter(hours, records):
    clock = time.time() + 3600 * hours
    leave_behind(records, host="elsewhere", renewed_at=clock)
    direction = "1 day, 0:00:00 ahead of" if hours > 0 else "1:00:00 behind"
    with pytest.raises(UserError, match=rf"last seen 0 s ago; .* Its clock is {direction} the storage's$"):
        take(records).__enter__()
    records.storage.delete("held/lease.json")
    leave_behind(records, SECONDS + 1, host="elsewhere", renewed_at=clock)
    assert read_lease(records).expired


def test_a_lease_from_a_future_that_was_a_wrong_clock_does_not_block(records):
    leave_behind(records, -86_400.0, host="elsewhere")
    with take(records):
        pass


def test_a_wrong_clock_of_this_machine_is_noted(records, monkeypatch):
    with take(records) as lease:
        assert lease.notes == []
    now = time.time
    monkeypatch.setattr(lease_module.time, "time", lambda: now() + 600)
    with take(records) as lease:
        assert lease.notes == ["This machine's clock is 0:10:00 ahead of the storage's"]


VALID = {"holder": "ann on far", "host": "far", "pid": 1, "process_started": 0, "renewed_at": 1.0}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        *((json.dumps(VALID | {"renewed_at": bad}).encode(), "bad renewed_at") for bad in (None, "now", -1, 1e308)),
        (json.dumps(VALID).replace("1.0", "NaN").encode(), "not a JSON lease"),
        *((json.dumps(VALID | {"pid": bad}).encode(), "bad pid") for bad in (-5, 10**30, 1.5)),
        (json.dumps(VALID | {"seconds_left": 1e300, "trials_a_minute": 1}).encode(), "bad seconds_left"),
        (b'{"holder": "ann"}', "bad host: field required"),
        (b"[" * 100_000, "not a JSON lease"),
        (b"7", "a lease is a JSON object"),
        (b"", "not a JSON lease"),
    ],
)
def test_a_damaged_lease_is_set_aside_with_a_reason(data, reason, records):
    records.storage.write("held/lease.json", data)
    assert read_lease(records) is None
    with take(records) as lease:
        (note,) = lease.notes
        assert note.startswith(f"set aside held/set_aside/lease.json: {reason}")
        assert len(note) < 300
    assert records.storage.read("held/set_aside/lease.json") == data


def silent(lease, seconds=SECONDS):
    """As after a suspension of this length."""
    lease.renewed -= seconds


def test_after_a_suspension_the_lease_is_renewed_before_the_next_write(records):
    with take(records) as lease:
        first = read_lease(records).renewed_at
        lease.fence().storage.write("held/x", b"fresh")
        assert read_lease(records).renewed_at == first
        silent(lease)
        lease.fence().storage.write("held/x", b"renewed")
        assert read_lease(records).renewed_at > first


def test_a_driver_that_lost_its_lease_writes_nothing_more(records):
    lost = []
    with take(records, lost.append) as first:
        storage = first.fence().storage
        storage.write("held/x", b"first")
        silent(first)
        os.utime(records.storage.root / "held/lease.json", (0, 0))
        leave_behind(records, host="elsewhere", holder="bob", token="other")
        writes = [
            lambda: storage.write("held/x", b"late"),
            lambda: storage.create("held/y", b"late"),
            lambda: storage.replace("held/x", b"first", b"late"),
            lambda: storage.delete("held/x"),
            lambda: storage.delete_many(["held/x"]),
            lambda: storage.clear_partial("held/"),
        ]
        for write in writes:
            with pytest.raises(LostError, match=r"^sweep 'held' was taken over by bob: this driver was silent for 6"):
                write()
        assert storage.read("held/x") == b"first"
        assert storage.names("held/") == ["held/lease.json", "held/x"]
    assert len(lost) == 1
    assert read_lease(records).holder == "bob"


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def number(request):
    """A signal that fails the test if Stop does not handle it."""
    before = signal.signal(request.param, lambda *_: pytest.fail("not handled"))
    yield request.param
    signal.signal(request.param, before)


@pytest.fixture
def interrupt(number):
    return lambda: os.kill(os.getpid(), number)


def test_a_signal_ends_a_block_at_once(interrupt):
    with Stop() as stop, pytest.raises(KeyboardInterrupt):
        interrupt()
    assert stop.requested


def test_the_second_signal_ends_a_gentle_block(interrupt):
    announced = []
    with Stop(lambda: announced.append("stopping")) as stop:
        with stop.gently():
            interrupt()
            assert (stop.stop_all(), stop.stop_all(), stop("trial", {})) == (True, True, True)
            assert announced == ["stopping"]
            with pytest.raises(KeyboardInterrupt):
                interrupt()
        with pytest.raises(KeyboardInterrupt):
            stop.check()


def test_a_gentle_block_waits_only_while_trials_run(interrupt):
    running = []
    with Stop() as stop, stop.gently(lambda: bool(running)), pytest.raises(KeyboardInterrupt):
        interrupt()
    running.append("trial")
    with Stop() as stop, stop.gently(lambda: bool(running)):
        interrupt()
    assert stop.interrupted


def test_a_gentle_block_replaces_rays_handler(interrupt):
    import ray

    with Stop() as stop:
        with pytest.raises(RuntimeError, match="nowhere"):
            # It takes SIGTERM before it looks at the address.
            ray.init("nowhere://")
        with stop.gently():
            interrupt()
            assert stop.requested


def test_the_handlers_are_restored(number):
    before = signal.getsignal(number)
    with Stop():
        assert signal.getsignal(number) != before
    assert signal.getsignal(number) == before


def test_a_problem_comes_before_a_signal():
    stop = Stop()
    stop.check()
    stop.give_up("the disk is full")
    stop.give_up("and more")
    with pytest.raises(UserError, match=r"^the disk is full$"):
        stop.check()
