"""A sweep's log: its files hold all events in order, and a full file is not written again."""

import json

import pytest

from driver.view import log as log_module
from driver.view.log import SweepLog
from records import StorageError, SweepRecords, open_storage


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
