"""A folder as storage: atomic writes, listing, and errors that say what to do."""

import fcntl
import os
from datetime import UTC, datetime, timedelta

import pytest

from records import StorageError, folder_storage, open_storage
from records.storage_interface import StorageAwayError


@pytest.fixture
def storage(tmp_path):
    return open_storage(tmp_path / "store")


def test_a_failed_write_leaves_the_old_bytes_and_no_part(storage, monkeypatch):
    storage.write("x", b"old")

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(StorageError, match=r"cannot write .*x: No space left on device"):
        storage.write("x", b"new")
    assert storage.read("x") == b"old"
    assert [p.name for p in storage.root.iterdir()] == ["x"]


def test_parts_and_empty_folders_of_killed_processes_are_not_listed_and_can_be_cleared(storage):
    storage.write("a/b/1.json", b"one")
    storage.write("other/2.json", b"two")
    for folder in ("a", "a/b", "other"):
        (storage.root / folder / ".abc.part").write_bytes(b"half")
    (storage.root / "a/empty/folders").mkdir(parents=True)
    assert storage.names("a/") == ["a/b/1.json"]
    storage.clear_partial("a/")
    assert [path.name for path in (storage.root / "a").iterdir()] == ["b"]
    left = sorted(p.relative_to(storage.root).as_posix() for p in storage.root.rglob("*") if p.is_file())
    assert left == ["a/b/1.json", "other/.abc.part", "other/2.json"]
    storage.clear_partial("nowhere/")


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for location in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StorageError, match=r"is a file, not a folder; give --storage a folder or s3://"):
            open_storage(location).check()


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("ftp://host/x", r"unknown storage scheme 'ftp'; give a folder or s3://bucket/prefix"),
        ("s3://", r"written s3://bucket/prefix"),
        ("s3://key:secret@bucket/x", r"AWS_ACCESS_KEY_ID"),
        ("s3://bucket/a#b", r"bad storage 's3://bucket/a#b': .* without \? and #"),
        ("s3:/bucket/x", r"bad storage 's3:/bucket/x': give a folder or s3://bucket/prefix"),
        ("file:x", r"bad storage 'file:x': give a folder"),
        ("https://me:secret@minio/bucket", r"bad storage 'https://\*\*\*@minio/bucket': unknown storage scheme"),
        ("", r"bad storage '': give a folder or s3://bucket/prefix; is the variable it comes from unset\?"),
        ("~nosuchuser/x", r"bad storage '~nosuchuser/x': there is no such home folder; write out its path"),
    ],
)
def test_malformed_locations_are_refused(location, message):
    with pytest.raises(StorageError, match=message) as caught:
        open_storage(location)
    assert "secret" not in str(caught.value)


def test_unusual_locations(tmp_path):
    assert open_storage(tmp_path / "a:b").root.name == open_storage("./a:b").root.name == "a:b"
    assert open_storage("s3://[b/x/").location == "s3://[b/x", "bucket names are checked by the server"


def test_a_folder_that_may_not_be_looked_into_is_one_error(storage, monkeypatch):
    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(storage.root), "exists", forbidden)
    monkeypatch.setattr(type(storage.root), "is_dir", forbidden)
    fix = "Permission denied; give --storage a folder you may write to"
    for action in (storage.check, lambda: storage.names("")):
        with pytest.raises(StorageError, match=fix):
            action()


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o077, 0o600)])
def test_files_follow_the_umask(umask, mode, storage):
    before = os.umask(umask)
    try:
        storage.write("a/x", b"1")
        storage.create("a/lease", b"2")
    finally:
        os.umask(before)
    assert [(storage.root / name).stat().st_mode & 0o777 for name in ("a/x", "a/lease")] == [mode, mode]


def test_lists_sizes_and_times_and_deletes_files_with_the_folders_left_empty(storage):
    before = datetime.now(UTC) - timedelta(seconds=2)
    for number, name in enumerate(("a/b/1.json", "a/b/2.json", "a/c/3.json", "d/4.json")):
        storage.write(name, bytes(number))
    assert [file.size for file in storage.files("").values()] == [0, 1, 2, 3]
    assert before < storage.files("d/")["d/4.json"].modified < before + timedelta(minutes=1)
    storage.delete_many(["a/b/1.json", "a/b/2.json", "d/4.json", "d/missing.json", "e/missing.json"])
    assert storage.names("") == ["a/c/3.json"]
    assert sorted(path.name for path in storage.root.rglob("*") if path.is_dir()) == ["a", "c"]


def test_a_suspended_process_that_holds_a_lock_is_named_and_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_storage, "LOCK_SECONDS", 0.1)
    storage = open_storage(tmp_path)
    storage.write("x", b"old")
    with (tmp_path / "x").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StorageAwayError, match=r"holds its lock; if a driver .* continue or end it"):
            storage.replace("x", b"old", b"new")
    assert storage.replace("x", b"old", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert storage.replace("gone/x", b"old", b"new") is False
    assert not (tmp_path / "gone").exists()
