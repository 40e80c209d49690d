"""A folder on a full disk: a clear error, the old bytes untouched, and it works again once there is room."""

import pytest
from support.disks import fill

from records import StorageError, SweepRecords, columns, open_storage

MESSAGE = r"cannot write .*: No space left on device; make room there, or give --storage a folder that has some"


def test_a_write_that_does_not_fit_leaves_no_part(small_disk):
    storage = open_storage(small_disk)
    storage.write("records/old", b"old")
    large = bytes(2_000_000)
    for action in (storage.write, storage.create, lambda name, data: storage.replace(name, b"old", data)):
        with pytest.raises(StorageError, match=MESSAGE):
            action("records/new" if action == storage.create else "records/old", large)
        assert [path.name for path in (small_disk / "records").iterdir()] == ["old"]
        assert storage.read("records/old") == b"old"


def test_on_a_full_disk_nothing_is_lost_and_with_room_again_it_goes_on(small_disk):
    records = SweepRecords(open_storage(small_disk), "full")
    before = {"trial_key": "abc", "status": "failed", "dataset": "synthetic", "severity": 1.0, "method": "rrr"}
    before |= {"strength": 1.0, "seed": 1, "data_seed": 0, "schema_version": columns.SCHEMA_VERSION}
    records.write(before)
    ballast = fill(small_disk)
    with pytest.raises(StorageError, match=MESSAGE):
        records.write({**before, "seed": 2, "error": "x" * 5000})
    assert records.read("abc") == before
    assert list(small_disk.rglob(".*")) == []
    ballast.unlink()
    records.write({**before, "seed": 2})
    assert records.read("abc")["seed"] == 2
