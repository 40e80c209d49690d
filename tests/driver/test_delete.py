"""The list of sweeps, and their deletion: what it names, when it refuses, and the state after an interruption."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib import import_module

import pytest
from mlflow.tracking import MlflowClient
from support import suspended
from support.commands import ROOT, environment
from typer.testing import CliRunner

import sweep
from records import Manifest, SweepRecords, columns, open_storage
from records.folder_storage import FolderStorage
from records.mirror import mirror_trial, open_experiment


def make(records, trials=2, space="smoke", planned=84):
    """A sweep with records, an artifact of each, a log and a report."""
    records.write_manifest(Manifest(space=space, planned_trials=planned))
    for number in range(trials):
        key = f"{number:016d}"
        row = {"trial_key": key, "dataset": "synthetic", "method": "baseline", "severity": 1.0, "strength": 0.0}
        records.write_artifact(key, "epochs.json", b"[]")
        row |= {"status": "completed", "seed": number, "data_seed": number}
        records.write({**row, "schema_version": columns.SCHEMA_VERSION})
    for name in ("logs/1.jsonl", "report/report.html", "trials.parquet"):
        records.storage.write(f"{records.name}/{name}", b"{}")
    return records


def hold(records):
    lease = {"holder": "ann on far", "host": "far", "pid": 1, "process_started": 0, "renewed_at": time.time()}
    records.storage.write(f"{records.name}/lease.json", json.dumps(lease).encode())


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """Torch and Ray load once, for seconds: in no test's own time."""
    import_module("driver.run_sweep")


@pytest.fixture
def records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return make(SweepRecords(open_storage(tmp_path / "sweeps"), "mine"))


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """A database of MLflow, which takes a second to create."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"
    open_experiment(uri, "of another sweep")
    return uri


def mirror(records, uri, artifacts):
    """Mirror the records; return MLflow's experiment."""
    experiment = open_experiment(uri, records.name, artifacts.as_uri(), storage=records.storage)
    for record in records.load().records:
        mirror_trial(experiment, records, record)
    return experiment


def left(*folders):
    """The files and folders that a deletion may not leave."""
    return [path for folder in folders for path in folder.rglob("*") if path.name != ".identity"]


def run(*arguments, code=0, **options):
    done = CliRunner().invoke(sweep.app, arguments, **options)
    assert done.exit_code == code, done.output
    return done


def test_each_sweep_is_listed_in_a_line(records, tmp_path):
    hold(make(SweepRecords(records.storage, "other"), 1, "laptop", 5700))
    records.storage.write("broken/sweep.json", b"{" * 5_000)
    records.storage.write("no-sweep/notes.txt", b"")
    moment = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    for path in (tmp_path / "sweeps/mine/records").iterdir():
        os.utime(path, (moment.timestamp(), moment.timestamp()))
    title, heading, *lines = (re.split(r"  +", line.strip()) for line in run("--list-sweeps").stdout.splitlines())
    assert title == [f"Sweeps in {tmp_path / 'sweeps'}"]
    assert heading == ["name", "space", "trials", "last record", "size"]
    size = sum(path.stat().st_size for path in (tmp_path / "sweeps/mine").rglob("*") if path.is_file())
    assert lines[0] == ["broken", "–", "0 of ?", "–", "5.0 kB", "sweep.json is broken"]
    assert lines[1] == ["mine", "smoke", "2 of 84", f"{moment.astimezone():%Y-%m-%d %H:%M}", f"{size} bytes"]
    assert [*lines[2][:3], lines[2][-1]] == ["other", "laptop", "1 of 5700", "running"]
    assert len(lines) == 3


def test_names_in_a_manifest_are_shown_as_they_are(records):
    """Neither markup nor what would command the terminal: one file ends no list and changes no screen."""
    for name, space in {"a": "[/red]", "b": "\x1b[2J\x1b]0;owned\x07", "c": "[bold]:smile:[/bold]"}.items():
        records.storage.write(f"{name}/sweep.json", json.dumps({"space": space}).encode())
    lines = run("--list-sweeps").stdout.splitlines()
    assert [line.split()[1] for line in lines[2:]] == ["[/red]", "␛[2J␛]0;owned", "[bold]:smile:[/bold]", "smoke"]


def test_a_folder_without_the_name_of_a_sweep_is_left_out(records, tmp_path):
    (tmp_path / "sweeps/mine").rename(tmp_path / "sweeps/mine copy")
    make(records)
    note, _, _, line = run("--list-sweeps").stdout.splitlines()
    assert note == "Left out, as no sweep can have the name: 'mine copy'. Rename the folder to list it."
    assert line.split()[:2] == ["mine", "smoke"]


def test_no_sweeps(tmp_path):
    assert run("--list-sweeps", "--storage", str(tmp_path / "none")).stdout == f"No sweeps in {tmp_path / 'none'}.\n"
    assert list(tmp_path.iterdir()) == []


def test_a_deletion_names_its_parts_and_leaves_nothing(records, tmp_path):
    make(SweepRecords(records.storage, "mine-2"))
    done = run("--delete", "mine", input="y\n")
    for piece in (
        f"Sweep mine in {tmp_path / 'sweeps'}",
        "2 records, 2 artifacts, 1 report file; ",
        f"no runs in MLflow at sqlite:///{tmp_path / 'mlflow.db'}",
        "Delete all of it, for good? [y/N] ",
        "Deleted sweep mine.",
    ):
        assert piece in done.stdout
    assert [path.name for path in (tmp_path / "sweeps").iterdir()] == ["mine-2"]
    assert len(records.storage.names("mine-2/")) == 8
    assert not (tmp_path / "mlflow.db").exists(), "looking for runs makes no database"


@pytest.mark.parametrize(
    ("arguments", "answer", "code", "message"),
    [
        (["mine"], "n\n", 0, "Nothing was deleted."),
        (["mine"], "\n", 0, "Nothing was deleted."),
        (["mine"], None, 2, "no answer on stdin; pass --yes"),
        (["mime", "--yes"], None, 2, "did you mean 'mine'? --list-sweeps names all"),
        (["held", "--yes"], None, 1, "sweep 'held' is being run by ann on far"),
    ],
)
def test_a_refused_deletion_changes_nothing(arguments, answer, code, message, records):
    hold(make(SweepRecords(records.storage, "held")))
    before = records.storage.names("")
    assert message in run("--delete", *arguments, input=answer, code=code).output
    assert records.storage.names("") == before


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
        done = run("--delete", "mine", "--yes", code=130)
    assert "Interrupted. Repeat the command to go on." in done.stderr
    assert len(records.done()) == 2, "records go after artifacts, log and report"
    assert not (tmp_path / "sweeps/mine/lease.json").exists()
    for again in (("--name", "mine", "--max-trials", "1"), ("--status", "--name", "mine")):
        refused = run(*again, "--tracking-uri", "none", code=2)
        assert "the deletion of sweep 'mine' was interrupted; finish it with --delete mine, or start" in refused.stderr
    assert "half deleted" in run("--list-sweeps").stdout
    run("--delete", "mine", "--yes")
    assert not (tmp_path / "sweeps/mine").exists()


STEPS = [
    (shutil, "rmtree", 0, 0),
    (shutil, "rmtree", 1, 0),
    (MlflowClient, "rename_experiment", 0, 0),
    (MlflowClient, "delete_experiment", 0, 0),
    (FolderStorage, "delete_many", 0, 0),
    (FolderStorage, "delete_many", 1, 0),
    (FolderStorage, "delete_many", 2, 2),
]


@pytest.mark.parametrize(("owner", "function", "calls", "code"), STEPS)
def test_a_deletion_interrupted_at_any_step_is_finished_by_the_next(
    owner, function, calls, code, records, uri, tmp_path, monkeypatch
):
    """The last step leaves an empty folder: there is no sweep any more."""
    experiment = mirror(records, uri, tmp_path / "artifacts")
    original, made = getattr(owner, function), []

    def interrupted(*arguments, **options):
        if len(made) == calls:
            raise KeyboardInterrupt
        made.append(original(*arguments, **options))

    with monkeypatch.context() as patched:
        patched.setattr(owner, function, interrupted)
        run("--delete", "mine", "--yes", "--tracking-uri", uri, code=130)
    run("--delete", "mine", "--yes", "--tracking-uri", uri, code=code)
    assert left(tmp_path / "sweeps", tmp_path / "artifacts") == []
    assert MlflowClient(uri).get_experiment(experiment.experiment_id).lifecycle_stage == "deleted"


KILLED = """
import os, signal, sys
from itertools import count
from mlflow.tracking import MlflowClient
import driver.upkeep.delete, sweep

for name in ("rename_experiment", "delete_experiment"):
    def step(*arguments, original=getattr(MlflowClient, name)):
        sys.audit("os.remove", "")
        return original(*arguments)
    setattr(MlflowClient, name, step)
for attempt in count(1):
    if not os.fork():
        steps = count(1)
        def audit(event, arguments):
            if event in ("os.remove", "os.rmdir") and not os.path.basename(arguments[0]).startswith("."):
                # The last attempts go on for longer, since each writes sweep.json again.
                if next(steps) > max(1, attempt - 30):
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(audit)
        try:
            sweep.main()
        finally:
            os._exit(0)
    if os.wait()[1] != signal.SIGKILL:
        sys.exit(f"attempts: {attempt}")
"""


@pytest.mark.slow
def test_a_deletion_killed_after_each_step_leaves_nothing_in_the_end(records, uri, tmp_path):
    """Each of many deletions is killed after it removed one file or folder, or sent one request to MLflow."""
    experiment = mirror(records, uri, tmp_path / "artifacts")
    arguments = ["--delete", "mine", "--yes", "--tracking-uri", uri]
    command, variables = [sys.executable, "-c", KILLED, *arguments], environment(PYTHONPATH=str(ROOT))
    ran = subprocess.run(command, capture_output=True, text=True, env=variables)
    assert int(ran.stderr.rpartition("attempts: ")[2]) > 30, ran.stderr
    assert left(tmp_path / "sweeps", tmp_path / "artifacts") == [], ran.stdout
    assert MlflowClient(uri).get_experiment(experiment.experiment_id).lifecycle_stage == "deleted"


def test_a_sweep_of_the_same_name_in_another_storage_is_refused_and_deleted_alone(records, uri, tmp_path):
    artifacts, other = tmp_path / "artifacts", make(SweepRecords(open_storage(tmp_path / "other"), "mine"))
    experiment = mirror(records, uri, artifacts)
    client, here = MlflowClient(uri), ["--storage", other.storage.location, "--tracking-uri", uri]
    before = set(tmp_path.rglob("*"))
    for command in (["--sync"], ["--space", "smoke", "--max-trials", "1"]):
        refused = run("--name", "mine", *command, *here, code=2).stderr
        assert f"'mine' belongs to the storage {tmp_path / 'sweeps'} on " in refused
        assert f"this one is {tmp_path / 'other'} on " in refused
        assert "give another --name or --tracking-uri. If that storage was moved here, move its file" in refused
    assert set(tmp_path.rglob("*")) == before, "nothing was written"
    kept = f"MLflow's experiment 'mine' is kept: it belongs to another storage ({tmp_path / 'sweeps'} on "
    assert kept in run("--delete", "mine", "--yes", *here).stdout
    assert left(tmp_path / "other") == []
    assert len(client.search_runs([experiment.experiment_id])) == 3
    assert len(list(artifacts.rglob("epochs.json"))) == 2
    assert f"  3 runs in MLflow at {uri}\n" in run("--delete", "mine", "--yes", "--tracking-uri", uri).stdout
    assert left(tmp_path / "sweeps", artifacts) == []
    assert client.get_experiment(experiment.experiment_id).lifecycle_stage == "deleted"


def test_an_experiment_without_a_storage_is_deleted_if_a_record_names_one_of_its_runs(records, uri, tmp_path):
    """Experiments of earlier versions have none."""
    experiment = open_experiment(uri, "mine", (tmp_path / "artifacts").as_uri())
    other = make(SweepRecords(open_storage(tmp_path / "other"), "mine")).storage.location
    arguments = ["--delete", "mine", "--yes", "--tracking-uri", uri]
    kept = "belongs to another storage (unknown, as no record of this sweep names one of its runs)"
    assert kept in run(*arguments, "--storage", other).stdout
    for record in records.load().records:
        mirror_trial(experiment, records, record)
    assert f"  3 runs in MLflow at {uri}\n" in run(*arguments).stdout
    assert MlflowClient(uri).get_experiment(experiment.experiment_id).lifecycle_stage == "deleted"


@pytest.mark.slow
def test_a_moved_storage_goes_on_with_its_experiment(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    suspended.make(tmp_path, "moved")
    run("--sync", "--name", "moved", "--tracking-uri", uri)
    (tmp_path / "sweeps").rename(tmp_path / "elsewhere")
    run("--sync", "--name", "moved", "--tracking-uri", uri, "--storage", "elsewhere")
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("moved")
    assert len(client.search_runs([experiment.experiment_id])) == 25
    assert experiment.tags["storage.location"].startswith(f"{tmp_path / 'elsewhere'} on ")
    copied = shutil.copytree(tmp_path / "elsewhere", tmp_path / "copy")
    done = run("--delete", "moved", "--tracking-uri", uri, "--storage", str(copied), input="n\n").stdout
    assert f"25 runs in MLflow at {uri}, last written from {tmp_path / 'elsewhere'} on " in done
    run("--delete", "moved", "--yes", "--tracking-uri", uri, "--storage", "elsewhere")
    assert client.get_experiment(experiment.experiment_id).lifecycle_stage == "deleted"


def test_an_unreachable_mlflow_keeps_the_records(records, free_port, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = records.storage.names("")
    done = run("--delete", "mine", "--yes", "--tracking-uri", f"http://127.0.0.1:{free_port}", code=2)
    assert "no record was deleted. Start it, or give --tracking-uri none to delete all but the runs" in done.stderr
    assert records.storage.names("") == before
    assert "MLflow is left alone" in run("--delete", "mine", "--yes", "--tracking-uri", "none").stdout
    assert records.storage.names("") == []


@pytest.mark.slow
def test_in_s3(bucket, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    storage = open_storage(f"{bucket}/here")
    make(SweepRecords(storage, "mine"))
    make(SweepRecords(storage, "mine-2"))
    # Several requests are needed.
    monkeypatch.setattr("records.s3_storage.DELETED_AT_ONCE", 3)
    listed = run("--list-sweeps", "--storage", f"{bucket}/here").stdout
    assert re.search(r"mine +smoke +2 of 84 +\d{4}-\d\d-\d\d \d\d:\d\d +\d+.*(B|bytes)", listed), listed
    run("--delete", "mine", "--yes", "--storage", f"{bucket}/here", "--tracking-uri", "none")
    assert {name.split("/")[0] for name in storage.names("")} == {"mine-2"}
