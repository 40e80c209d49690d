"""Signals: they end the command at once if nothing can be lost or if repeated, else after the epoch."""

import os
import signal

import pytest

from driver import UserError
from driver.upkeep.stop import Stop


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
