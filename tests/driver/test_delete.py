"""The list of sweeps, and their deletion: what it names, when it refuses, and what an interrupted one leaves."""

import json
import os
import re
import time
from datetime import UTC, datetime
from importlib import import_module

import pytest
from mlflow.tracking import MlflowClient
from typer.testing import CliRunner

import sweep
from records import Manifest, SweepRecords, columns, open_storage
from records.folder_storage import FolderStorage
from records.mirror import mirror_trial, open_experiment

HELD = {"holder": "ann on far", "host": "far", "pid": 1, "process_started": 0}


def make(records, trials=2):
    """A sweep of two records, an artifact of each, a log and a report."""
    records.write_manifest(Manifest(space="smoke", planned_trials=84))
    for number in range(trials):
        key = f"{number:016d}"
        row = {"trial_key": key, "dataset": "synthetic", "method": "baseline", "severity": 1.0, "strength": 0.0}
        records.write_artifact(key, "epochs.json", b"[]")
        records.write({**row, "seed": number, "status": "completed", "schema_version": columns.SCHEMA_VERSION})
    for name in ("logs/1.jsonl", "report/report.html", "trials.parquet"):
        records.storage.write(f"{records.name}/{name}", b"{}")
    return records


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """Torch and Ray load once, for seconds: in no test's own time."""
    import_module("driver.run_sweep")


@pytest.fixture
def records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return make(SweepRecords(open_storage(tmp_path / "sweeps"), "mine"))


def run(*arguments, **options):
    return CliRunner().invoke(sweep.app, [*arguments], **options)


def test_a_line_for_each_sweep(records, tmp_path):
    other = make(SweepRecords(records.storage, "other"), trials=1)
    other.write_manifest(Manifest(space="laptop", planned_trials=5700))
    other.storage.write("other/lease.json", json.dumps({**HELD, "renewed_at": time.time()}).encode())
    broken = SweepRecords(records.storage, "broken")
    broken.storage.write("broken/sweep.json", b"{" * 5_000)
    records.storage.write("no-sweep/notes.txt", b"")
    moment = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    for path in (tmp_path / "sweeps/mine/records").iterdir():
        os.utime(path, (moment.timestamp(), moment.timestamp()))
    done = run("--list-sweeps")
    assert done.exit_code == 0, done.output
    title, heading, *lines = (re.split(r"  +", line.strip()) for line in done.stdout.splitlines())
    assert title == [f"Sweeps in {tmp_path / 'sweeps'}"]
    assert heading == ["name", "space", "trials", "last record", "size"]
    size = sum(path.stat().st_size for path in (tmp_path / "sweeps/mine").rglob("*") if path.is_file())
    local = moment.astimezone()
    assert lines[0] == ["broken", "–", "0 of ?", "–", "5.0 kB", "sweep.json is broken"]
    assert lines[1] == ["mine", "smoke", "2 of 84", f"{local:%Y-%m-%d %H:%M}", f"{size} bytes"]
    assert lines[2][:3] == ["other", "laptop", "1 of 5700"]
    assert lines[2][-1] == "running"
    assert len(lines) == 3


def test_a_folder_that_no_sweep_can_have_as_its_name_is_left_out(records, tmp_path):
    (tmp_path / "sweeps/mine").rename(tmp_path / "sweeps/mine copy")
    make(records)
    done = run("--list-sweeps")
    assert done.exit_code == 0, done.output
    note, _, _, line = done.stdout.splitlines()
    assert note == "Left out, as no sweep can have the name: 'mine copy'. Rename the folder to list it."
    assert line.split()[:2] == ["mine", "smoke"]


def test_no_sweeps(tmp_path):
    done = run("--list-sweeps", "--storage", str(tmp_path / "none"))
    assert (done.exit_code, done.stdout) == (0, f"No sweeps in {tmp_path / 'none'}.\n")
    assert list(tmp_path.iterdir()) == []


def test_a_deletion_names_what_goes_and_leaves_nothing(records, tmp_path):
    make(SweepRecords(records.storage, "mine-2"))
    done = run("--delete", "mine", input="y\n")
    assert done.exit_code == 0, done.output
    for piece in (
        f"Sweep mine in {tmp_path / 'sweeps'}",
        "2 records, 2 artifacts, 1 file of the report; ",
        f"no runs in MLflow at sqlite:///{tmp_path / 'mlflow.db'}",
        "Delete all of it, for good? [y/N] ",
        "Deleted sweep mine.",
    ):
        assert piece in done.stdout
    assert [path.name for path in (tmp_path / "sweeps").iterdir()] == ["mine-2"]
    assert len(records.storage.names("mine-2/")) == 8
    assert not (tmp_path / "mlflow.db").exists(), "looking for runs makes no database"


@pytest.mark.parametrize(("answer", "code"), [("n\n", 0), ("\n", 0), (None, 2)])
def test_without_a_yes_nothing_happens(answer, code, records):
    before = records.storage.names("")
    done = run("--delete", "mine", input=answer)
    assert done.exit_code == code
    assert ("Nothing was deleted." in done.stdout) == (code == 0)
    assert ("no answer on stdin; pass --yes" in done.stderr) == (code == 2)
    assert records.storage.names("") == before


def test_a_running_sweep_is_not_deleted(records):
    records.storage.write("mine/lease.json", json.dumps({**HELD, "renewed_at": time.time()}).encode())
    before = records.storage.names("")
    done = run("--delete", "mine", "--yes")
    assert done.exit_code == 1
    assert "sweep 'mine' is being run by ann on far" in done.stderr
    assert records.storage.names("") == before


def test_a_name_that_is_not_there_is_answered_with_a_close_one(records):
    done = run("--delete", "mime", "--yes")
    assert done.exit_code == 2
    assert "there is no sweep at" in done.stderr
    assert "did you mean 'mine'? --list-sweeps names all" in done.stderr


def test_an_interrupted_deletion_can_only_be_finished(records, monkeypatch, tmp_path):
    unlinked = []

    def unlink(self, names):
        for name in names:
            if len(unlinked) == 5:
                raise KeyboardInterrupt
            unlinked.append(name)
            self.delete(name)

    with monkeypatch.context() as patched:
        patched.setattr(FolderStorage, "delete_many", unlink)
        done = run("--delete", "mine", "--yes")
    assert done.exit_code == 130
    assert "Interrupted. Repeat the command to go on." in done.stderr
    assert len(records.done()) == 2, "records go after artifacts, log and report"
    assert not (tmp_path / "sweeps/mine/lease.json").exists()
    for again in (("--name", "mine", "--max-trials", "1"), ("--status", "--name", "mine")):
        refused = run(*again, "--tracking-uri", "none")
        assert refused.exit_code == 2
        assert "the deletion of sweep 'mine' was interrupted; finish it with --delete mine, or start" in refused.stderr
    assert "half deleted" in run("--list-sweeps").stdout
    assert run("--delete", "mine", "--yes").exit_code == 0
    assert not (tmp_path / "sweeps/mine").exists()


@pytest.mark.slow
def test_mlflow_runs_go_with_the_sweep_and_a_new_one_has_none_of_them(records, tmp_path, monkeypatch):
    uri, artifacts = f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlartifacts/mine"
    experiment = open_experiment(uri, "mine", artifacts.as_uri())
    client = MlflowClient(uri)
    for record in records.load().records:
        mirror_trial(experiment, records, record)
    assert list(artifacts.iterdir())
    kept = client.create_experiment("somebody's")
    client.create_run(kept)
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "delete_experiment", lambda *_: 1 / 0)
        assert run("--delete", "mine", "--yes").exit_code == 2
    assert len(records.done()) == 2
    assert client.get_experiment_by_name("mine") is None, "renamed first"
    done = run("--delete", "mine", "--yes")
    assert done.exit_code == 0, done.output
    assert f"3 runs in MLflow at {uri}" in done.stdout
    assert [e.name for e in client.search_experiments()] == ["somebody's", "Default"]
    assert f"their artifacts in {artifacts}" in done.stdout
    assert not artifacts.exists()
    assert client.get_experiment_by_name("mine") is None
    assert len(client.search_runs([kept])) == 1
    new = open_experiment(uri, "mine", artifacts.as_uri())
    assert new.experiment_id != experiment.experiment_id
    assert len(client.search_runs([new.experiment_id])) == 1


def test_an_mlflow_that_is_away_keeps_the_records(records, free_port, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = records.storage.names("")
    done = run("--delete", "mine", "--yes", "--tracking-uri", f"http://127.0.0.1:{free_port}")
    assert done.exit_code == 2
    assert "no record was deleted. Start it, or give --tracking-uri none to delete all but the runs" in done.stderr
    assert records.storage.names("") == before
    done = run("--delete", "mine", "--yes", "--tracking-uri", "none")
    assert done.exit_code == 0
    assert "MLflow is left alone" in done.stdout
    assert records.storage.names("") == []


@pytest.mark.slow
def test_in_s3(bucket, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    storage = open_storage(f"{bucket}/here")
    make(SweepRecords(storage, "mine"))
    make(SweepRecords(storage, "mine-2"))
    # More than one request deletes.
    monkeypatch.setattr("records.s3_storage.DELETED_AT_ONCE", 3)
    listed = run("--list-sweeps", "--storage", f"{bucket}/here").stdout
    assert re.search(r"mine +smoke +2 of 84 +\d{4}-\d\d-\d\d \d\d:\d\d +\d+.*(B|bytes)", listed), listed
    done = run("--delete", "mine", "--yes", "--storage", f"{bucket}/here", "--tracking-uri", "none")
    assert done.exit_code == 0, done.output
    assert {name.split("/")[0] for name in storage.names("")} == {"mine-2"}
    assert len(storage.names("")) == 8
