"""The writer to MLflow: one run for each record, despite refusals, outages and moves to another MLflow."""

import io
import threading
from dataclasses import replace

import pytest
from mlflow.tracking import MlflowClient
from rich.console import Console

from driver.upkeep import mirror as driver_mirror
from driver.upkeep.mirror import Mirror
from records import StorageError, SweepRecords, columns, mirror, open_storage
from records.fence import LostError, fenced
from records.mirror import Experiment, MirrorError, open_experiment
from records.store import WEIGHTS

KEYS = ("a", "b", "c")
RECORD = {"status": "completed", "dataset": "synthetic", "severity": 0.5, "method": "rrr", "strength": 1.0, "seed": 3}
RECORD |= {"data_seed": 0, "test_ood.auc": 0.75, "schema_version": columns.SCHEMA_VERSION, "mlflow_run_id": None}


@pytest.fixture
def records(tmp_path):
    """Three records without a run."""
    records = SweepRecords(open_storage(tmp_path / "sweeps"), "mirrored")
    for key in KEYS:
        records.write({**RECORD, "trial_key": key})
    return records


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    return f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()


@pytest.fixture
def experiment(database, request):
    uri, artifacts = database
    return open_experiment(uri, request.node.name[:200], artifacts)


def mirrored(experiment, records, patience=0.0, out=None, **options):
    """Mirror all records; the records, with their runs noted, and whether MLflow was behind."""
    loaded = records.load().records
    with Mirror(lambda _: experiment, records, loaded, Console(file=out or io.StringIO(), width=500), **options) as it:
        behind = it.finish(loaded, patience)
    return loaded, behind


def ended(experiment, records, **options):
    """Mirror all records, and end the sweep's run."""
    mirrored(experiment, records, **options)
    mirror.mirror_sweep(experiment, records, None, {}, {}, {}, done=True)


def by_key(records):
    return {record["trial_key"]: record["mlflow_run_id"] for record in records}


def test_each_record_gets_one_run_and_names_it(experiment, records):
    loaded, behind = mirrored(experiment, records)
    assert behind
    assert by_key(loaded) == by_key(records.load().records) == mirror.mirrored_runs(experiment)
    assert set(by_key(loaded)) == set(KEYS)
    again, _ = mirrored(experiment, records)
    assert by_key(again) == by_key(loaded)
    assert MlflowClient(experiment.tracking_uri).get_run(experiment.parent_run_id).info.status == "RUNNING"


def test_trials_are_mirrored_as_they_finish_and_failed_ones_only_at_the_end(experiment, records, monkeypatch):
    records.write({**RECORD, "trial_key": "b", "status": "failed"})
    done, original = threading.Event(), mirror.mirror_trial
    keys = []

    def recorded(experiment, records, record, *others):
        keys.append(record["trial_key"])
        run_id = original(experiment, records, record, *others)
        if record["trial_key"] == "new":
            done.set()
        return run_id

    monkeypatch.setattr(driver_mirror, "mirror_trial", recorded)
    with Mirror(lambda _: experiment, records, records.load().records, Console(quiet=True)) as it:
        records.write({**RECORD, "trial_key": "new"})
        it.add("new")
        assert done.wait(60)
        # It runs again meanwhile, and its new record must not be replaced by the old one.
        assert set(keys) == {"a", "c", "new"}
        it.finish(records.load().records, 0.0)
    assert set(mirror.mirrored_runs(experiment)) == {*KEYS, "new"}


def test_a_refused_record_does_not_keep_others_from_mlflow(experiment, records):
    records.write({**RECORD, "trial_key": "b", f"hp.{'x' * 300}": 1})
    out = io.StringIO()
    loaded, _ = mirrored(experiment, records, out=out)
    assert {key: bool(run) for key, run in by_key(loaded).items()} == {"a": True, "b": False, "c": True}
    assert "1 trial not mirrored: MLflow at sqlite:" in out.getvalue()


def test_an_unreachable_server_is_given_up_after_the_patience(records, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    out = io.StringIO()
    loaded, _ = mirrored(Experiment("http://127.0.0.1:9", "1", "2"), records, patience=0.5, out=out)
    assert "MLflow at http://127.0.0.1:9" in out.getvalue()
    assert out.getvalue().count("trials continue, and MLflow is brought up to date later") == 1
    assert out.getvalue().rstrip().endswith("; the next run or --sync brings MLflow up to date")
    assert set(by_key(loaded).values()) == {None}


def test_an_mlflow_that_answers_late_is_filled(experiment, records, monkeypatch):
    answers = [None, None, experiment]
    monkeypatch.setattr(driver_mirror, "AT_END", 0.01)
    monkeypatch.setattr(driver_mirror, "THREADS", 1)
    loaded, out = records.load().records, io.StringIO()
    with Mirror(lambda _: answers.pop(0), records, loaded, Console(file=out, width=200)) as it:
        it.finish(loaded, 60.0)
    assert by_key(loaded) == mirror.mirrored_runs(experiment)
    assert out.getvalue().count("MLflow answers now and is brought up to date.") == 1


def test_an_mlflow_that_answers_late_with_the_experiment_of_another_storage_gets_no_runs(experiment, records):
    def open_late(_):
        if not answers:
            raise StorageError("belongs to the storage elsewhere")
        return answers.pop()

    answers, loaded, out = [None], records.load().records, io.StringIO()
    with Mirror(open_late, records, loaded, Console(file=out, width=200)) as it:
        it.finish(loaded, 0.2)
    assert "belongs to the storage elsewhere; the next run or --sync" in out.getvalue()
    assert mirror.mirrored_runs(experiment) == {}


def test_a_run_made_by_a_request_that_failed_is_found_again(experiment, records, monkeypatch):
    """The server died between creating the run and answering."""
    create, failed = MlflowClient.create_run, []

    def dies(self, *arguments, **named):
        run = create(self, *arguments, **named)
        if not failed:
            failed.append(run.info.run_id)
            raise ConnectionError
        return run

    monkeypatch.setattr(MlflowClient, "create_run", dies)
    monkeypatch.setattr(driver_mirror, "AT_END", 0.01)
    loaded, _ = mirrored(experiment, records, patience=60.0)
    runs = MlflowClient(experiment.tracking_uri).search_runs([experiment.experiment_id], "tags.kind = 'trial'")
    assert sorted(run.info.run_id for run in runs) == sorted(by_key(loaded).values())
    assert failed[0] in by_key(loaded).values()


def test_records_that_name_deleted_runs_or_runs_elsewhere_are_mirrored(database, experiment, records):
    uri, artifacts = database
    second = open_experiment(uri, "second", artifacts)
    mirrored(experiment, records)
    loaded, _ = mirrored(second, records)
    assert by_key(loaded) == by_key(records.load().records) == mirror.mirrored_runs(second)
    MlflowClient(uri).delete_run(by_key(loaded)["c"])
    mirrored(second, records)
    assert set(mirror.mirrored_runs(second)) == set(KEYS)


def test_missing_weights_are_added_and_an_unreachable_server_gets_them_later(experiment, records, monkeypatch, capsys):
    loaded = records.load().records
    records.write_artifact("a", WEIGHTS, b"weights")

    def unreachable(*_):
        raise MirrorError("MLflow is away")

    with Mirror(lambda _: experiment, records, loaded, Console(width=200)) as it:
        it.finish(loaded, 0.0)
        it.add_weights()
        monkeypatch.setattr(driver_mirror, "mirror_weights", unreachable)
        it.add_weights()
    client = MlflowClient(experiment.tracking_uri)
    there = {key: [file.path for file in client.list_artifacts(run, "weights")] for key, run in by_key(loaded).items()}
    assert there == {"a": ["weights/weights.pt"], "b": [], "c": []}
    assert "MLflow is away; --sync brings the weights there" in capsys.readouterr().out


def test_an_error_of_any_kind_is_a_problem_of_mlflow_alone(experiment, records, monkeypatch):
    """An artifact store raises errors that are not MLflow's own."""
    before = records.load().records
    monkeypatch.setattr(mirror, "_log_files", lambda *_: (_ for _ in ()).throw(MemoryError("upload failed")))
    out = io.StringIO()
    mirrored(experiment, records, out=out)
    assert "upload failed" in out.getvalue()
    assert records.load().records == before


@pytest.mark.parametrize("checked", [False, True], ids=["before the check", "after the check"])
@pytest.mark.parametrize(("write", "again"), [*((write, False) for write in range(1, 8)), (1, True), (2, True)])
def test_a_driver_suspended_before_any_write_leaves_one_ended_run_for_each_trial(
    write, again, checked, experiment, records
):
    """Another driver finishes the sweep meanwhile. What the first had checked already still happens, once."""
    records.storage.delete("mirrored/records/c.json")
    if again:
        ended(experiment, records)
        records.write({**RECORD, "trial_key": "c"})
    writes = 0

    def check():
        nonlocal writes
        writes += 1
        if writes == write:
            ended(experiment, records, took_over=True)
        if writes > write or (writes == write and not checked):
            raise LostError("taken over")

    mine = SweepRecords(fenced(records.storage, check), records.name)
    mirrored(replace(experiment, check=check), mine)
    assert writes >= write
    client = MlflowClient(experiment.tracking_uri)
    runs = client.search_runs([experiment.experiment_id], "tags.kind = 'trial'")
    assert sorted((run.data.tags["trial_key"], run.info.run_id) for run in runs) == sorted(
        by_key(records.load().records).items()
    )
    assert {run.info.status for run in (*runs, client.get_run(experiment.parent_run_id))} == {"FINISHED"}


def test_twins_are_removed_and_the_run_that_the_record_names_stays(experiment, records):
    mirrored(experiment, records)
    client, named = MlflowClient(experiment.tracking_uri), by_key(records.load().records)
    for key in KEYS:
        # Older than the named one.
        client.create_run(experiment.experiment_id, 1, {"trial_key": key, "kind": "trial"})
    assert mirror.has_run(experiment, records.read("a")), "also for a reader"
    assert len(client.search_runs([experiment.experiment_id], "tags.kind = 'trial'")) == 6, "who deletes none"
    again, _ = mirrored(experiment, records)
    assert by_key(again) == by_key(records.load().records) == named == mirror.mirrored_runs(experiment)
