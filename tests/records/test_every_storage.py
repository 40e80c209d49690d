"""The contract of a storage, for a folder, S3 in memory, and a bucket on a real server."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from records import open_storage

CONTENDERS = 16
ROUNDS = 3


@pytest.fixture(params=["folder", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def storage(request, tmp_path):
    if request.param == "folder":
        return open_storage(tmp_path / "store")
    if request.param == "memory":
        request.getfixturevalue("s3_in_memory")
        return open_storage("s3://bucket/some/prefix")
    return open_storage(request.getfixturevalue("bucket") + "/some/prefix")


def contend(operation):
    """What `operation` returns to each of many threads that call it with their number at the same moment."""
    barrier = threading.Barrier(CONTENDERS)

    def run(number):
        barrier.wait()
        return operation(number)

    with ThreadPoolExecutor(CONTENDERS) as pool:
        return list(pool.map(run, range(CONTENDERS)))


def test_written_bytes_are_read_listed_and_overwritten(storage):
    storage.write("a/records/2.json", b"two")
    storage.write("a/records/1.json", b"one")
    storage.write("a/recordings", b"")
    storage.write("a/.hidden", b"1")
    storage.write("b", b"\x00\xff" * 100_000)
    assert storage.read("a/records/1.json") == b"one"
    assert storage.read("a/recordings") == b""
    assert storage.read("a/.hidden") == b"1"
    assert storage.read("b") == b"\x00\xff" * 100_000
    storage.write("a/records/1.json", b"uno")
    assert storage.read("a/records/1.json") == b"uno"
    assert storage.names("a/records/") == ["a/records/1.json", "a/records/2.json"]
    assert storage.names("") == ["a/recordings", "a/records/1.json", "a/records/2.json", "b"]


def test_many_are_deleted(storage):
    for name in ("a/0", "a/1", "b"):
        storage.write(name, b"12")
    assert {name: file.size for name, file in storage.files("").items()} == {"a/0": 2, "a/1": 2, "b": 2}
    storage.delete_many(["a/0", "a/1", "a/missing"])
    assert storage.names("") == ["b"]


def test_the_storage_tells_when_a_name_was_written_and_what_time_it_is(storage):
    storage.write("a/x", b"1")
    written, now = storage.times("a/x")
    assert written == storage.files("a/")["a/x"].modified
    # S3 counts whole seconds.
    assert -1 <= (now - written).total_seconds() < 60
    assert storage.times("a/missing") is None
    assert storage.names("") == ["a/x"]


def test_missing_names_are_none_and_empty_lists(storage):
    assert storage.read("a/b") is None
    assert storage.read_many(["a/b", "c"]) == {}
    assert storage.names("a/") == []
    assert storage.names("") == []
    storage.delete("a/b")
    assert storage.replace("a/b", b"", b"new") is False
    assert storage.read("a/b") is None


def test_names_may_have_any_characters(storage):
    names = ["ü/Röntgen 胸部.json", "ü/a+b%20c&d=e.json", "ü/'quoted' ~#?.json"]
    for number, name in enumerate(names):
        storage.write(name, str(number).encode())
    assert storage.names("ü/") == sorted(names)
    assert storage.read_many(names) == {name: str(number).encode() for number, name in enumerate(names)}
    storage.delete(names[0])
    assert storage.names("ü/") == sorted(names[1:])


def test_a_listing_has_every_name_and_many_are_read_in_order(storage):
    # More than the thousand that S3 lists at once.
    names = [f"many/{number:04d}" for number in range(1200)]
    with ThreadPoolExecutor(CONTENDERS) as pool:
        list(pool.map(lambda name: storage.write(name, name.encode()), names))
    assert storage.names("many/") == names
    wanted = [*reversed(names), "many/none"]
    found = storage.read_many(wanted)
    assert list(found) == wanted[:-1]
    assert all(found[name] == name.encode() for name in names)


def test_create_fails_if_the_name_exists(storage):
    assert storage.create("a/lease", b"first") is True
    assert storage.create("a/lease", b"first") is storage.create("a/lease", b"second") is False
    assert storage.read("a/lease") == b"first"
    storage.delete("a/lease")
    assert storage.read("a/lease") is None
    assert storage.create("a/lease", b"second") is True
    assert storage.names("") == ["a/lease"]


def test_replace_needs_the_expected_bytes(storage):
    storage.write("a/lease", b"old")
    assert storage.replace("a/lease", b"other", b"new") is False
    assert storage.read("a/lease") == b"old"
    assert storage.replace("a/lease", b"old", b"new") is True
    assert storage.replace("a/lease", b"old", b"newer") is False
    assert storage.read("a/lease") == b"new"


def test_only_one_of_many_creates(storage):
    for name in (f"lease-{number}" for number in range(ROUNDS)):
        won = contend(lambda number, name=name: storage.create(name, f"owner {number}".encode()))
        assert won.count(True) == 1
        assert storage.read(name) == f"owner {won.index(True)}".encode()


def test_a_storage_has_one_identity_whoever_asks_first(storage):
    assert storage.identity(make=False) == ""
    (identity,) = set(contend(lambda _: storage.identity()))
    assert identity == storage.identity(make=False) != ""
    assert storage.names("") == []


def test_only_one_of_many_replaces(storage):
    storage.write("lease", b"nobody")
    for lap in range(ROUNDS):
        old = storage.read("lease")
        won = contend(lambda number, lap=lap, old=old: storage.replace("lease", old, f"{lap}: {number}".encode()))
        assert won.count(True) == 1
        assert storage.read("lease") == f"{lap}: {won.index(True)}".encode()


def test_replacing_never_restores_a_deleted_name(storage):
    for _ in range(ROUNDS):
        storage.write("lease", b"old")
        operations = [lambda: storage.delete("lease"), lambda: storage.replace("lease", b"old", b"new")]
        contend(lambda number, operations=operations: operations[number % 2]())
        # A replace that succeeds comes before the first delete; so a delete comes last.
        assert storage.read("lease") is None


def test_a_usable_storage_passes_its_check_and_nothing_is_left(storage, request):
    storage.check()
    assert storage.names("") == []
    if "s3" in request.node.callspec.params.values():
        assert request.getfixturevalue("s3_server").objects(storage.bucket) == {}


def test_a_folder_without_hard_links_creates_exclusively_too(tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.link", no_links)
    storage = open_storage(tmp_path)
    won = contend(lambda number: storage.create("lease", f"owner {number}".encode()))
    assert won.count(True) == 1
    assert storage.read("lease") == f"owner {won.index(True)}".encode()
    storage.replace("lease", storage.read("lease"), b"2")
    assert [path.name for path in tmp_path.iterdir()] == ["lease"], "there are no lock files"
