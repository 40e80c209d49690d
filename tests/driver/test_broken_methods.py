"""Methods whose first trials fail the same way: which trials are skipped, and the message."""

import traceback

import pytest

from driver.ray.broken_methods import BrokenMethods, Failure, failure_of
from trainables.tune.recorder import failure


def record(method="mine", status="failed", error="ValueError: no", line=12, file="/home/ann/mine.py"):
    text = f'{error}\nTraceback (most recent call last):\n  File "{file}", line {line}, in penalty\n    raise'
    return {"method": method, "status": status, "error": None if status == "completed" else text}


def test_the_place_is_the_innermost_line_outside_installed_packages():
    def user_code():
        # The innermost frame is in Python's own json package.
        return __import__("json").loads("{")

    with pytest.raises(ValueError) as caught:
        user_code()
    failed = failure_of({**record(), **failure(caught.value)})
    line = user_code.__code__.co_firstlineno + 2
    assert failed == Failure("JSONDecodeError", f"{__file__}, line {line}, in user_code")
    assert "/json/" in traceback.format_exception(caught.value)[-2], "the innermost frame is not the user's"


def test_a_lost_process_has_no_place():
    assert failure_of({**record(), "error": "tried 3 times: the node is gone"}) is None
    assert failure_of(record(status="completed")) is None


def test_three_failures_of_a_method_at_one_place_are_enough():
    broken = BrokenMethods()
    for ended in (record("baseline", "completed"), record(error="ValueError: 1"), record(error="ValueError: 2")):
        assert broken.add([ended]) is None
    message = broken.add([record(error="ValueError: 3")])
    place = "(/home/ann/mine.py, line 12, in penalty)"
    assert message == f"mine: its first 3 trials failed the same way: ValueError: 3 {place}"
    assert (broken.skips("mine"), broken.skips("baseline")) == (True, False)
    assert broken.add([record()]) is None, "trials that were running give no second message"


@pytest.mark.parametrize(
    "other",
    [
        record(status="completed"),
        record(status="diverged"),
        record(error="KeyError: 'x'"),
        record(line=13),
        {**record(), "error": "tried 3 times: out of memory"},
    ],
)
def test_a_different_result_among_the_first_three_keeps_the_method(other):
    broken = BrokenMethods()
    for ended in (record(), other, record(), record(), record(), record()):
        assert broken.add([ended]) is None
    assert not broken.skips("mine")


def test_trials_of_one_training_count_once():
    broken = BrokenMethods()
    assert [broken.add([record()] * 3) is None for _ in range(3)] == [True, True, False]


def test_a_failure_of_several_methods_breaks_all():
    broken = BrokenMethods()
    assert [broken.add([record(method)]) for method in "ab"] == [None, None]
    message = broken.add([record("c")])
    assert message.startswith("The first 3 trials, of several methods, failed the same way: ValueError: no (/home/ann")
    assert broken.skips("another")
