"""Power failures: what was written is there afterwards, whole, and what was deleted stays deleted.

Each failure is that of a real ext4 file system, which loses everything that no fsync has flushed.
"""

import errno
import multiprocessing
import os
import random
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from records import StorageError, SweepRecords, columns, open_storage
from records.folder_storage import FolderStorage

WRITERS = 2
TRIAL = {"dataset": "synthetic", "severity": 1.0, "method": "baseline", "strength": 0.0, "data_seed": 0}
TRIAL |= {"status": "completed", "started_at": "2026-01-02T03:04:05+00:00", "schema_version": columns.SCHEMA_VERSION}


def write_until_the_power_fails(storage: str, first: int, counted: str) -> None:
    """Write trials as a sweep does, and note on another disk each one that counts as done."""
    records = SweepRecords(open_storage(storage), "mine")
    with Path(counted).open("a", buffering=1) as done:
        for number in range(first, first + 10_000):
            key = f"{number:016d}"
            try:
                records.write_artifact(key, "maps.npz", key.encode() * 4000)
                records.write({"trial_key": key, "seed": number, **TRIAL})
            except StorageError:
                os._exit(0)
            done.write(f"{key}\n")


def test_what_counts_as_done_survives_twenty_power_failures(breakable_disk, tmp_path):
    rng, counted = random.Random(0), tmp_path / "counted"  # noqa: S311 -- reproducible moments, nothing secret
    storage, processes = breakable_disk.path / "sweeps", multiprocessing.get_context("fork")
    records = SweepRecords(open_storage(storage), "mine")
    counted.touch()
    for cut in range(20):
        writers = [
            processes.Process(
                target=write_until_the_power_fails, args=(str(storage), (cut * WRITERS + i) * 10_000, str(counted))
            )
            for i in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        # By what was written, not by time, which is unequal on a busy machine.
        enough = len(counted.read_text().split()) + rng.randint(1, 20)
        while len(counted.read_text().split()) < enough:
            assert any(writer.is_alive() for writer in writers)
            time.sleep(rng.uniform(0.001, 0.01))
        breakable_disk.cut_power()
        for writer in writers:
            writer.join()
        breakable_disk.mount()
        loaded, keys = records.load(), counted.read_text().split()
        assert loaded.rejected == {}
        present = {record["trial_key"] for record in loaded.records}
        assert not (lost := set(keys) - present), f"{lost} of {len(keys)} lost by failure {cut + 1}"
        for key in present:
            assert records.read_artifact(key, "maps.npz") == key.encode() * 4000
    assert len(keys) >= 20


def create(storage: FolderStorage) -> None:
    assert storage.create("one/new/lease.json", b"new")


def create_without_links(storage: FolderStorage) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "link", Mock(side_effect=PermissionError(errno.EPERM, "not permitted")))
        create(storage)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda storage: storage.write("two/new/file", b"new"), {"one/file": b"old", "two/new/file": b"new"}),
        (lambda storage: storage.write("one/file", b"new"), {"one/file": b"new"}),
        (lambda storage: storage.replace("one/file", b"old", b"new"), {"one/file": b"new"}),
        (create, {"one/file": b"old", "one/new/lease.json": b"new"}),
        (create_without_links, {"one/file": b"old", "one/new/lease.json": b"new"}),
        (lambda storage: storage.delete("one/file"), {}),
        (lambda storage: storage.delete_many(["one/file"]), {}),
    ],
    ids=["write", "overwrite", "replace", "create", "create without links", "delete", "delete many"],
)
def test_a_change_is_on_the_disk_when_it_returns(change, expected, breakable_disk):
    storage = open_storage(breakable_disk.path)
    storage.write("one/file", b"old")
    os.sync()
    change(storage)
    breakable_disk.cut_power()
    breakable_disk.mount()
    names = [name for name in storage.names("") if not name.startswith("lost+found")]
    assert {name: storage.read(name) for name in names} == expected
