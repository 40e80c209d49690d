"""The script of k8s/backup, between two folders; tests/kubernetes runs it between two S3 servers."""

import importlib.util
from subprocess import CompletedProcess

import pytest
from support.manifests import K8S

from records import StorageError, open_storage

specification = importlib.util.spec_from_file_location("backup", K8S / "backup" / "backup.py")
backup = importlib.util.module_from_spec(specification)
specification.loader.exec_module(backup)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The folders of the sweeps and of the backup."""
    folders = {"SWEEP_STORAGE": tmp_path / "sweeps", "BACKUP_STORAGE": tmp_path / "kept"}
    for name, value in {**folders, "MLFLOW_TRACKING_URI": "none"}.items():
        monkeypatch.setenv(name, str(value))
    return folders.values()


def test_a_restore_brings_back_lost_objects_only(folders, monkeypatch):
    sweeps, kept = folders
    commands = []
    # Exit code 10: some of its trials have failed.
    monkeypatch.setattr(backup.subprocess, "run", lambda c, **_: commands.append(c) or CompletedProcess(c, 10))
    store = open_storage(sweeps)
    for name in ("a/records/1.json", "a/sweep.json", "b/records/1.json", "data/images/1.png"):
        store.write(name, b"first")
    backup.main("backup")
    assert contents(kept) == contents(sweeps)

    store.write("a/sweep.json", b"later")
    store.delete("b/records/1.json")
    backup.main("backup")
    assert contents(kept) == contents(sweeps) | {"b/records/1.json": "first"}, "nothing is deleted from a backup"

    store.write("a/sweep.json", b"newest")
    store.delete("a/records/1.json")
    store.delete("data/images/1.png")
    backup.main("restore")
    assert contents(sweeps) == contents(kept) | {"a/sweep.json": "newest"}, "nothing is overwritten"
    assert [command[-2:] for command in commands] == [["a", "--sync"], ["b", "--sync"]]


def test_a_sweep_missing_from_mlflow_is_named(folders, monkeypatch):
    _, kept = folders
    monkeypatch.setattr(backup.subprocess, "run", lambda c, **_: CompletedProcess(c, 2 if "b" in c else 0))
    for name in ("a", "b"):
        open_storage(kept).write(f"{name}/records/1.json", b"")
    with pytest.raises(SystemExit, match=r"not up to date for: b$"):
        backup.main("restore")


def test_each_bucket_has_its_own_keys(monkeypatch):
    for name, value in {
        "SWEEP_STORAGE": "s3://sweeps",
        "AWS_ENDPOINT_URL": "http://s3:8333",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "sweeps",
        "AWS_SECRET_ACCESS_KEY": "first",
        "BACKUP_STORAGE": "s3://kept/here",
        "BACKUP_AWS_ACCESS_KEY_ID": "keeper\n",
        "BACKUP_AWS_SECRET_ACCESS_KEY": "second\n",
    }.items():
        monkeypatch.setenv(name, value)
    sweeps, kept = backup.open_both()
    assert sweeps._client.meta.endpoint_url == "http://s3:8333"
    assert kept._client.meta.endpoint_url == "https://s3.amazonaws.com"
    keys = [storage._client._request_signer._credentials for storage in (sweeps, kept)]
    assert [(k.access_key, k.secret_key) for k in keys] == [("sweeps", "first"), ("keeper", "second")]


def test_a_backup_without_storage_is_refused(folders, monkeypatch):
    monkeypatch.delenv("BACKUP_STORAGE")
    with pytest.raises(StorageError, match="bad storage ''"):
        backup.main("backup")
