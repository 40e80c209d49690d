"""The trials that Tune gets, and the effect of its events, of lost processes and broken methods among them."""

import io
import platform
import re
import tempfile
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
from ray.tune.search import Searcher
from rich.console import Console

from driver import UserError
from driver.plan.plan import Queue
from driver.ray.broken_methods import BrokenMethods, Failure, failure_of
from driver.ray.run import ProgressCallback, TuneQueue, reason_of, remove_scratch, scratch_folder, scratch_prefix
from driver.upkeep.stop import Stop
from driver.view.log import SweepLog
from driver.view.progress import Progress
from records import StorageError, columns
from trainables import Recorder, resolve
from trainables.core.config import Selection
from trainables.trial.same_training import flat, parse
from trainables.tune.recorder import failure


@pytest.fixture
def alike():
    return tuple(resolve({"selection": selection}) for selection in get_args(Selection))


def test_trials_that_share_a_training_are_one_tune_trial(alike):
    other = resolve({"seed": 1})
    first, second, third = alike
    planned = Queue([first, other, second, third])
    queue = TuneQueue(planned, 2, Stop())
    assert parse(queue.suggest("a")) == alike
    assert parse(queue.suggest("b")) == (other,)
    assert queue.suggest("c") == Searcher.FINISHED
    assert len(planned) == 0


class OneAtATime(Queue):
    busy = False

    def next(self):
        if self.busy:
            return None
        self.busy = True
        return super().next()

    def ended(self, training):
        self.busy = False


def test_tune_waits_if_the_next_trial_depends_on_a_running_one():
    queue = TuneQueue(OneAtATime(resolve({"seed": seed}) for seed in range(3)), 2, Stop())
    assert queue.suggest("a") is not None
    assert queue.suggest("b") is None
    queue.on_trial_complete("a")
    assert queue.suggest("b") not in (None, Searcher.FINISHED)
    queue.on_trial_complete("b", error=True)
    assert queue.suggest("c") == Searcher.FINISHED, "this round has handed out its two"


def test_an_unreachable_storage_stops_the_sweep():
    class Away(Queue):
        def next(self):
            raise StorageError("the bucket is away")

    stop = Stop()
    assert TuneQueue(Away([resolve({})]), 1, stop).suggest("a") == Searcher.FINISHED
    with pytest.raises(UserError, match="the bucket is away"):
        stop.check()


KILLED_BY_RAY = """2 worker(s) were killed due to the node running low on memory. \
Memory on the node (IP: 10.0.0.7, ID: 5ca) was {used} used / 2.00GB limit (0.951)
Set max_restarts to enable retry. Consider setting RAY_memory_usage_threshold."""
END_OF_FILE = """The actor died unexpectedly before finishing this task.
The actor is dead because its worker process has died. There are some potential root causes. (1) The process is killed \
by SIGKILL by OOM killer due to high memory usage."""
TWICE = f"Failure # 1\n{KILLED_BY_RAY}\nFailure # 2\n{KILLED_BY_RAY.format(used='1.95GB')}"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("Failure # 3\nThe actor died because its node has died.\n", "The actor died because its node has died."),
        (
            KILLED_BY_RAY.format(used="1.90GB"),
            r"out of memory \(1.90GB used / 2.00GB limit on its node\); give the node",
        ),
        (TWICE, r"out of memory \(1.95GB"),
        (END_OF_FILE, "The actor is dead .* usage. If memory was full, give the node more memory, or lower batch"),
    ],
)
def test_the_reason_of_a_lost_process_is_one_line_with_a_remedy(error, reason):
    assert re.match(reason, reason_of(error))
    assert "\n" not in reason_of(error)


def callback_of(queue, recorder, progress, stop=None, followers=()):
    log = SweepLog(recorder.records)
    return ProgressCallback(
        queue=queue, recorder=recorder, progress=progress, log=log, stop=stop or Stop(), followers=followers
    )


def test_a_lost_trial_gets_a_last_try_and_keeps_the_records_it_left(alike, tmp_path):
    recorder = Recorder(str(tmp_path), "s")
    progress, stop = Progress(Console(quiet=True), total=3), Stop()
    callback = callback_of(Queue(alike), recorder, progress, stop)
    for config, status in zip(alike, ("completed", "failed"), strict=False):
        record = {**config.columns(), "status": status, "error": None, "schema_version": columns.SCHEMA_VERSION}
        recorder.records.write(record)
    (tmp_path / "error.txt").write_text("Failure # 3\nthe node is gone\n")
    files = {"pickled_error_file": None, "error_file": str(tmp_path / "error.txt")}
    lost = SimpleNamespace(trial_id="a", config=flat(alike), **files)
    callback.on_trial_start(0, [], lost)
    callback.on_trial_error(0, [], lost)
    assert recorder.records.read(alike[2].trial_key) is None
    assert (progress.done, progress.running, stop.requested) == (0, 0, False)
    assert callback.start_last_try().next() == alike
    callback.on_trial_start(0, [], lost)
    callback.on_trial_error(0, [], lost)
    statuses = [recorder.records.read(config.trial_key)["status"] for config in alike]
    assert statuses == ["completed", "failed", "failed"]
    error = recorder.records.read(alike[2].trial_key)["error"]
    assert error == "tried 4 times, the last time alone on its node: the node is gone"
    assert (progress.done, progress.running, stop.requested) == (3, 0, False)


def test_a_training_counts_once_its_records_are_written_and_else_is_lost(alike, tmp_path):
    recorder = Recorder(str(tmp_path), "s")
    progress = Progress(Console(quiet=True), total=5)
    followed = []
    callback = callback_of(Queue(alike), recorder, progress, followers=[followed.append])
    trainings = {"a": alike, "b": (resolve({"seed": 1}),), "c": (resolve({"seed": 2}),)}
    rows = {}
    for name, training in trainings.items():
        trial = SimpleNamespace(trial_id=name, config=flat(training))
        callback.on_trial_start(0, [], trial)
        written = {"status": "completed", "error": None, "host": platform.node()}
        rows[name] = [{**config.columns(), **written} for config in training]
        # The result of each brings the records of the one before.
        finished = {"b": [rows["a"]]} if name == "b" else {}
        callback.on_trial_result(0, [], trial, {"done": True, "finished": finished.get(name, [])})
    assert (progress.done, progress.running) == (3, 0)
    recorder.records.write({**rows["b"][0], "schema_version": columns.SCHEMA_VERSION})
    callback.collect()
    assert progress.done == 4
    assert followed == [row["trial_key"] for row in rows["a"] + rows["b"]]
    assert callback.start_last_try().next() == trainings["c"]


def test_a_stopped_or_waiting_trial_does_not_count_as_running(alike, tmp_path):
    recorder = Recorder(str(tmp_path), "s")
    progress = Progress(Console(quiet=True), total=3)
    callback = callback_of(Queue(alike), recorder, progress)
    trial = SimpleNamespace(trial_id="a", config=flat(alike))
    for ends in (callback.on_trial_recover, callback.on_trial_complete):
        callback.on_trial_start(0, [], trial)
        assert progress.running == 3
        ends(0, [], trial)
        assert progress.running == 0


def test_queued_trials_of_a_broken_method_are_skipped_and_not_recorded(tmp_path):
    recorder, out = Recorder(str(tmp_path), "s"), io.StringIO()
    trials = [resolve({"seed": seed, "method": method}) for seed in range(5) for method in ("baseline", "masked")]
    queue = Queue(trials)
    progress, stop = Progress(Console(file=out, width=300), total=10), Stop()
    callback = callback_of(queue, recorder, progress, stop)
    handed_out = [queue.next() for _ in range(7)]
    error = 'ValueError: no\n  File "/home/ann/mine.py", line 3, in loss\n    raise'
    for (config,) in handed_out[:6]:
        bad = {"status": "failed", "error": error} if config.method == "masked" else {"status": "completed"}
        callback.finished([{"host": platform.node(), "error": None, **config.columns(), **bad}])
    assert "masked: its first 3 trials failed the same way: ValueError: no (/home" in out.getvalue()
    assert "2 other trials skipped; the same command tries again" in out.getvalue()
    assert (progress.skipped, progress.done, len(queue)) == (2, 6, 1)
    assert [config.method for config in queue.next()] == ["baseline"]
    assert recorder.records.done() == set()
    (log,) = (line for line in callback.log.lines if '"skip"' in line)
    assert '"trials": 2' in log


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


def test_a_scratch_folder_is_removed_once_its_driver_is_dead(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed = Path(tempfile.mkdtemp(prefix=scratch_prefix("/storage", "s")))
    other = Path(tempfile.mkdtemp(prefix=scratch_prefix("/storage", "other")))
    with scratch_folder("/storage", "s") as first:
        remove_scratch("/storage", "s")
        assert (killed.exists(), first.exists(), other.exists()) == (False, True, True)
        with scratch_folder("/storage", "s") as second:
            (first / "round-1").mkdir()
        assert first.exists() > second.exists()
    assert not first.exists()
