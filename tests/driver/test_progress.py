"""The numbers while trainings run, some of them for several trials, and the view in 80 columns; and the log."""

import io
import json
import re
from types import SimpleNamespace
from typing import get_args

import pytest
from rich.console import Console

from driver.view import log as log_module
from driver.view.log import SweepLog
from driver.view.progress import Progress
from records import StorageError, SweepRecords, open_storage
from trainables import resolve
from trainables.core.config import Selection


def record(status, error=None, **columns):
    trial = {"trial_key": "k", "method": "baseline", "dataset": "synthetic", "severity": 1.0, "strength": 0.0}
    return {**trial, "seed": 0, "status": status, "error": error, **columns}


def printing(total, width=200):
    """A progress view, and the text that it prints to a file."""
    out = io.StringIO()
    return Progress(Console(file=out, width=width), total), out


def test_trials_are_counted_and_not_trainings():
    progress, out = printing(9)
    progress.already_done = 2
    alike = tuple(resolve({"selection": selection}) for selection in get_args(Selection))
    progress.started("a", alike)
    progress.started("b", (resolve({"seed": 1}),))
    progress.epoch("a", 3)
    assert (progress.done, progress.running) == (2, 4)
    progress.ended("a")
    progress.finished([record("completed"), record("completed"), record("failed", "ValueError: no\ntail")])
    assert "5/9" not in out.getvalue(), "a slot is empty for a moment"
    progress.started("c", (resolve({"seed": 2}),))
    assert "5/9 trials done, 2 running, 1 failed" in out.getvalue()
    progress.ended("c")
    assert (progress.done, progress.running, progress.bad) == (5, 1, 1)
    assert progress.facts().items() >= {"done": 5, "total": 9, "running": 1}.items()
    assert "failed: baseline on synthetic: ValueError: no" in out.getvalue()


def test_trainings_may_end_while_the_lease_counts_them():
    """The lease's thread counts while the main thread goes on."""
    progress = Progress(Console(quiet=True), total=9)

    class Training(tuple):
        def __len__(self):
            progress.trainings.pop("b", None)
            return super().__len__()

    progress.trainings = {"a": (Training("1"), 0), "b": (Training("2"), 0)}
    assert progress.running == 2


@pytest.fixture
def screen():
    """The lines that a terminal of 80 x 24 shows of a progress."""

    def drawn(progress):
        console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True, no_color=True)
        progress.console = console
        with console.capture() as capture:
            console.print(progress._view())
        return [line.rstrip() for line in capture.get().splitlines()]

    return drawn


def test_the_view_before_the_first_trial(screen):
    _bar, numbers, waiting = screen(Progress(Console(quiet=True), total=84))
    assert numbers == "0/84 trials done, 0 running, 0 failed"
    assert waiting.startswith("Starting the trials' processes, for 0:00:0")


def test_the_view_of_a_large_sweep_fits_a_terminal(screen):
    progress = Progress(Console(quiet=True), total=100_000)
    progress.already_done = 10_000
    for number in range(64):
        config = resolve({"seed": number, "method": "right_for_better_reasons", "dataset": "digits_on_photos"})
        progress.started(str(number), (config,))
        progress.epoch(str(number), 7)
    progress.start -= 100 * 3600
    progress.ended("0")
    progress.finished([record("completed", method="right_for_better_reasons", **{"test_ood.auc": 0.5})] * 20_000)
    lines = screen(progress)
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 24
    assert re.search(r"about 14 days, 14:00:\d\d left$", lines[0])
    assert lines[1] == "30,000/100,000 trials done, 63 running, 0 failed, 3.3 a minute"
    assert lines[2] == "Best at s=1: right_for_better_reasons seed=0 on synthetic, OOD AUC 0.500"
    assert lines[3] == "  ▸ epoch 7/10  s=1  right_for_better_reasons seed=1  digits_on_photos"
    assert lines[-1] == "  … and 45 more"


def test_the_best_trial_is_at_the_largest_severity_so_far(screen):
    progress = Progress(Console(quiet=True), total=9)

    def best(**columns):
        progress.finished([record("completed", **columns)])
        return screen(progress)[2]

    assert best(severity=0.0, **{"test_ood.auc": 0.99}) == "Best at s=0: baseline seed=0 on synthetic, OOD AUC 0.990"
    of_actdiff = "Best at s=1: actdiff λ=10 seed=3 on synthetic, OOD AUC 0.800"
    assert best(method="actdiff", strength=10.0, seed=3, **{"test_ood.auc": 0.8}) == of_actdiff
    assert best(**{"test_ood.auc": 0.7}) == of_actdiff
    assert best(**{"test_ood.auc": None}) == of_actdiff
    assert best(severity=0.5, **{"test_ood.auc": 1.0}) == of_actdiff


def test_one_trial_is_singular_and_skipped_ones_are_not_waited_for():
    progress, out = printing(1)
    progress.finished([record("completed")])
    with progress:
        pass
    assert re.fullmatch(r"1/1 trial done, 0 running, 0 failed, .* elapsed\n", out.getvalue())
    progress, out = printing(5)
    progress.finished([record("failed", "E: no")])
    progress.give_up("mine: it broke", 4)
    assert (progress.facts()["seconds_left"], progress.facts()["waiting"]) == (0, 0)
    assert "mine: it broke. 4 other trials skipped; the same command tries again" in out.getvalue()
    with progress:
        pass
    assert "1/5 trials done, 0 running, 1 failed, 4 skipped, " in out.getvalue()


def test_prometheus_and_the_lease_count_the_same_trials_as_waiting(monkeypatch):
    shown = {}

    def gauge(name, *_):
        return SimpleNamespace(set=lambda value, tags: shown.update({(name, *tags.values()): value}))

    monkeypatch.setattr(log_module, "Gauge", gauge)
    progress = Progress(Console(quiet=True), total=10)
    progress.already_done = 2
    progress.started("a", (resolve({}),))
    progress.give_up("mine: it broke", 4)
    log_module.SweepMetrics("s").update(progress)
    assert {state: shown[log_module.TRIALS, "s", state] for state in log_module.STATES} == {
        **{"completed": 2, "failed": 0, "diverged": 0, "running": 1},
        "waiting": 10 - 2 - 1 - 4,
    }
    assert progress.facts()["waiting"] == 3


def test_the_time_left_does_not_count_the_start_of_processes():
    progress = Progress(Console(quiet=True), total=3)
    progress.start -= 3600
    progress.started("a", (resolve({}),))
    progress.finished([record("completed")])
    assert progress.facts()["seconds_left"] < 60


@pytest.fixture
def records(tmp_path, monkeypatch):
    monkeypatch.setattr(log_module, "LINES", 3)
    return SweepRecords(open_storage(tmp_path), "logged")


def logged(records):
    """The numbers in each file of the log, the files as they sort."""
    folder = records.storage.root / "logged" / "logs"
    files = sorted(folder.iterdir(), key=lambda file: (len(file.name), file.name))
    return [[json.loads(line)["number"] for line in file.read_text().splitlines()] for file in files]


def test_a_full_file_is_followed_by_another(records):
    log = SweepLog(records)
    written, write = [], records.storage.write
    records.storage.write = lambda name, data: (written.append((name, data.count(b"\n"))), write(name, data))
    for number in range(7):
        log.event("trial", number=number)
        log.flush()
    assert logged(records) == [[0, 1, 2], [3, 4, 5], [6]]
    assert [lines for _, lines in written] == [1, 2, 3, 1, 2, 3, 1]


def test_lines_wait_for_an_unreachable_storage(records):
    log = SweepLog(records)
    write = records.storage.write

    def away(name, data):
        raise StorageError("away")

    records.storage.write = away
    for number in range(4):
        log.event("trial", number=number)
        log.flush()
    records.storage.write = write
    log.event("trial", number=4)
    log.flush()
    log.event("trial", number=5)
    log.flush()
    assert logged(records) == [[0, 1, 2, 3, 4], [5]]
