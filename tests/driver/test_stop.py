"""Signals: at once where nothing can be lost, after the epoch while trials run, and at once when repeated."""

import os
import signal

import pytest

from driver import UserError
from driver.upkeep.stop import Stop


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def number(request):
    """A signal that fails the test where Stop does not handle it."""
    before = signal.signal(request.param, lambda *_: pytest.fail("not handled"))
    yield request.param
    signal.signal(request.param, before)


@pytest.fixture
def interrupt(number):
    return lambda: os.kill(os.getpid(), number)


def test_a_signal_ends_what_is_not_gentle_at_once(interrupt):
    with Stop() as stop, pytest.raises(KeyboardInterrupt):
        interrupt()
    assert stop.requested


def test_within_a_gentle_block_the_first_only_asks_and_the_second_ends_it(interrupt):
    said = []
    with Stop(lambda: said.append("stopping")) as stop:
        with stop.gently():
            interrupt()
            assert (stop.stop_all(), stop.stop_all(), stop("trial", {})) == (True, True, True)
            assert said == ["stopping"]
            with pytest.raises(KeyboardInterrupt):
                interrupt()
        with pytest.raises(KeyboardInterrupt):
            stop.check()


def test_a_gentle_block_may_wait_only_while_there_is_something_to_wait_for(interrupt):
    running = []
    with Stop() as stop, stop.gently(lambda: bool(running)), pytest.raises(KeyboardInterrupt):
        interrupt()
    running.append("trial")
    with Stop() as stop, stop.gently(lambda: bool(running)):
        interrupt()
    assert stop.interrupted


def test_while_trials_run_ray_has_no_say_in_it(interrupt):
    import ray

    with Stop() as stop:
        with pytest.raises(RuntimeError, match="nowhere"):
            # It takes SIGTERM before it looks at the address.
            ray.init("nowhere://")
        with stop.gently():
            interrupt()
            assert stop.requested


def test_afterwards_signals_are_as_before(number):
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
