"""Trials from a real MLflow database."""

import gc
import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest

import analysis
from records import columns

pytestmark = pytest.mark.slow

CONFIGURATION = ("dataset", "severity", "method", "strength", "model", "seed", "data_seed")


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/saliency-sweep/mlflow"


@pytest.fixture(scope="module")
def tracked(tmp_path_factory, make_table):
    """(tracking uri, the table its experiment "demo" mirrors)."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("demo", artifact_location=str(folder / "artifacts"))
    parent = client.create_run(experiment, tags={"kind": "sweep", "sweep": "demo"})
    table = make_table(seeds=3, severities=(0.5,))
    table["hp.learning_rate"] = 1e-3
    for position, row in enumerate(table.to_dict("records")):
        status = "diverged" if position == 0 else "completed"
        tags = {"kind": "trial", "trial_key": row["trial_key"], "sweep": "demo", "status": status}
        tags["mlflow.parentRunId"] = parent.info.run_id
        # All start at the same moment, so that only the run's id orders the pages.
        run = client.create_run(experiment, start_time=1_000, tags=tags)
        params = {name: row[name] for name in (*CONFIGURATION, "hp.learning_rate")} | {"preset": "None"}
        scores = {name: v for name, v in row.items() if name.startswith(("test_", "valid_"))}
        client.log_batch(
            run.info.run_id,
            metrics=[Metric(name, v, 0, 0) for name, v in scores.items()],
            params=[Param(name, str(v)) for name, v in params.items()],
            tags=[RunTag("note", "x")],
        )
    return uri, table


def test_the_mirror_gives_the_same_trials(tracked, monkeypatch):
    uri, table = tracked
    monkeypatch.setattr("analysis.trials.from_mlflow.PAGE", 5)  # twelve trials on three pages
    trials = analysis.load_mlflow(uri, "demo")
    assert trials.excluded == {"diverged": 1}
    assert (trials.n_read, len(trials.table)) == (12, 11)
    expected = table[1:].set_index("trial_key").sort_index()
    mirrored = trials.table.set_index("trial_key").sort_index()
    score = columns.localisation("test_ood", "iou", "integrated_gradients")
    for name in (*CONFIGURATION, "hp.learning_rate", "test_ood.auc", "test_id.auc", score):
        assert mirrored[name].tolist() == expected[name].tolist(), name
    assert mirrored["preset"].tolist() == ["None"] * 11
    whole = analysis.analyse(table[1:], replicates=100)
    assert analysis.analyse(trials, replicates=100).verdict == whole.verdict


def test_present_and_former_names_give_the_same_table(tmp_path, make_table):
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    from records import SweepRecords, open_storage
    from records.mirror import mirror_trial, open_experiment

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    records, client = SweepRecords(open_storage(tmp_path / "sweeps"), "present"), MlflowClient(uri)
    experiments = [open_experiment(uri, name, str(tmp_path / "artifacts")) for name in ("present", "former", "both")]
    rows = make_table(seeds=2, severities=(0.5,)).to_dict("records")
    for number, row in enumerate(rows):
        half = {"test_ood.auc.half_1": number / 7, "test_ood.iou.integrated_gradients.half_2": number / 9}
        row |= {**half, "test_ood.n": 64, "schema_version": 1, "train_seconds": 0.5, "epochs": 2, "sweep": "present"}
        records.write(row)
        epochs = json.dumps([{"train.loss": 2.0}, {"train.loss": 1.0 + number}])
        records.write_artifact(row["trial_key"], "epochs.json", epochs.encode())
        for experiment in experiments[1:]:
            tags = {"kind": "trial", **{name: row[name] for name in ("trial_key", "sweep", "status")}}
            run = client.create_run(experiment.experiment_id, start_time=1_000, tags=tags).info.run_id
            params = {name: row[name] for name in columns.settings_in(row)}
            scores = {k: v for k, v in row.items() if k not in params and isinstance(v, float | int)}
            scores["epoch.train.loss"] = 1.0 + number
            # What was wrong when it was first mirrored is right after the second time.
            change = 0.25 if experiment is experiments[2] else 0
            metrics = [Metric(k, v + change, 0, 0) for k, v in scores.items()]
            client.log_batch(run, metrics, [Param(k, str(v)) for k, v in params.items()])
        mirror_trial(experiments[0], records, row)
        mirror_trial(experiments[2], records, row)
    tables = {
        name: analysis.load_mlflow(uri, name, cache=False).table.drop(columns="mlflow_run_id").set_index("trial_key")
        for name in ("present", "former", "both")
    }
    for name in ("former", "both"):
        pd.testing.assert_frame_equal(tables["present"].sort_index(), tables[name].sort_index(), check_like=True)
    assert {"test_ood.auc.half_1", "test_ood.n", "epoch.train.loss", "train_seconds"} <= set(tables["present"])


def test_the_garbage_collector_is_left_as_it_was(tracked):
    for enabled in (False, True):
        (gc.enable if enabled else gc.disable)()
        analysis.load_mlflow(tracked[0], "demo")
        assert gc.isenabled() == enabled


def test_no_such_experiment(tracked):
    with pytest.raises(analysis.AnalysisError) as error:
        analysis.load_mlflow(tracked[0], "dmeo")
    for piece in ("no experiment 'dmeo'", "demo", "--sweep"):
        assert piece in str(error.value)


def test_an_experiment_without_trials(tracked):
    with pytest.raises(analysis.AnalysisError, match="no run with the tag kind = trial"):
        analysis.load_mlflow(tracked[0], "Default")


def test_an_absent_server_is_named_without_its_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(analysis.AnalysisError) as error:
        analysis.load_mlflow("http://me:secret@127.0.0.1:9", "demo")
    assert "127.0.0.1:9" in str(error.value)
    assert "check --tracking-uri" in str(error.value)
    assert "secret" not in str(error.value)


@pytest.fixture(scope="module")
def written(tmp_path_factory, make_table):
    """(folder, experiment, records): a sweep of six trials that its own mirror has written."""
    from records import SweepRecords, open_storage
    from records.mirror import mirror_trial, open_experiment

    folder = tmp_path_factory.mktemp("written")
    experiment = open_experiment(f"sqlite:///{folder / 'mirror.db'}", "demo", str(folder / "artifacts"))
    records = SweepRecords(open_storage(folder / "sweeps"), "demo")
    rows = [{**row, "schema_version": 1} for row in make_table(seeds=3, severities=(0.5,)).to_dict("records")[:6]]
    for row in rows:
        records.write(row)
        mirror_trial(experiment, records, row)
    return folder, experiment, rows


@pytest.fixture
def mirrored(written, tmp_path):
    """(tracking uri, experiment, records, its six records), on a copy of the database."""
    from records import SweepRecords, open_storage

    folder, experiment, rows = written
    shutil.copytree(folder, tmp_path / "copy")
    uri = f"sqlite:///{tmp_path / 'copy/mirror.db'}"
    records = SweepRecords(open_storage(tmp_path / "copy/sweeps"), "demo")
    return uri, replace(experiment, tracking_uri=uri), records, rows


class Counted:
    """Counts the runs that are turned into rows, that is, really read."""

    def __init__(self, monkeypatch):
        from analysis.trials import from_mlflow

        self.n, row = 0, from_mlflow._row

        def counting(run):
            self.n += 1
            return row(run)

        monkeypatch.setattr(from_mlflow, "_row", counting)


def test_unchanged_runs_are_read_once(mirrored, cache_folder, monkeypatch):
    uri, *_ = mirrored
    counted = Counted(monkeypatch)
    seen = []
    first = analysis.load_mlflow(uri, "demo", progress=seen.append)
    assert (counted.n, seen) == (6, [6])
    again = analysis.load_mlflow(uri, "demo")
    assert counted.n == 6
    assert again.table.equals(first.table)
    analysis.load_mlflow(uri, "demo", cache=False)
    assert counted.n == 12
    assert len(list(cache_folder.iterdir())) == 1


def test_a_changed_a_new_and_a_deleted_run_are_seen_at_once(mirrored, cache_folder):
    from mlflow import MlflowClient

    from records.mirror import mirror_trial

    uri, experiment, records, rows = mirrored
    analysis.load_mlflow(uri, "demo")
    # Neither the number of runs nor the end of this one shows that it was mirrored again.
    mirror_trial(experiment, records, {**rows[0], "test_ood.auc": 0.123})
    table = analysis.load_mlflow(uri, "demo").table.set_index("trial_key")
    assert table.loc[rows[0]["trial_key"], "test_ood.auc"] == 0.123
    # Its parameter cannot be changed.
    mirror_trial(experiment, records, {**rows[0], "dataset": "folder:/elsewhere"})
    table = analysis.load_mlflow(uri, "demo").table.set_index("trial_key")
    assert table.loc[rows[0]["trial_key"], "dataset"] == "folder:/elsewhere"
    mirror_trial(experiment, records, rows[0])
    new = {**rows[1], "trial_key": "new", "seed": 77}
    records.write(new)
    mirror_trial(experiment, records, new)
    assert len(analysis.load_mlflow(uri, "demo").table) == 7
    # By hand, so that no stamp changes.
    client = MlflowClient(uri)
    for number, remaining in ((0, 6), (-1, 5)):
        run = client.search_runs([experiment.experiment_id], "tags.kind = 'trial'", order_by=["start_time ASC"])[number]
        client.delete_run(run.info.run_id)
        assert len(analysis.load_mlflow(uri, "demo").table) == remaining
    assert len(list(cache_folder.iterdir())) == 1  # what is out of date is deleted


def test_a_mirror_that_dies_half_way_leaves_nothing_stale(mirrored, monkeypatch):
    from mlflow import MlflowClient

    from records import mirror

    uri, experiment, records, rows = mirrored
    analysis.load_mlflow(uri, "demo")

    def dies(self, run_id, *arguments, **named):
        if run_id != experiment.parent_run_id:
            raise KeyboardInterrupt
        return terminate(self, run_id, *arguments, **named)

    terminate = MlflowClient.set_terminated
    monkeypatch.setattr(MlflowClient, "set_terminated", dies)
    with pytest.raises(KeyboardInterrupt):
        mirror.mirror_trial(experiment, records, {**rows[0], "test_ood.auc": 0.321})
    table = analysis.load_mlflow(uri, "demo").table.set_index("trial_key")
    assert table.loc[rows[0]["trial_key"], "test_ood.auc"] == 0.321


def test_reading_while_a_run_is_mirrored_caches_nothing_stale(mirrored, monkeypatch):
    from mlflow import MlflowClient

    from records import mirror

    uri, experiment, records, rows = mirrored
    log_batch = MlflowClient.log_batch

    def read_first(self, *arguments, **named):
        analysis.load_mlflow(uri, "demo")
        return log_batch(self, *arguments, **named)

    monkeypatch.setattr(MlflowClient, "log_batch", read_first)
    mirror.mirror_trial(experiment, records, {**rows[0], "test_ood.auc": 0.213})
    table = analysis.load_mlflow(uri, "demo").table.set_index("trial_key")
    assert table.loc[rows[0]["trial_key"], "test_ood.auc"] == 0.213


def test_a_broken_cache_is_ignored(mirrored, cache_folder):
    uri, *_ = mirrored
    analysis.load_mlflow(uri, "demo")
    (kept,) = cache_folder.iterdir()
    kept.write_text(kept.read_text()[:100])
    assert len(analysis.load_mlflow(uri, "demo").table) == 6


def test_a_cache_that_cannot_be_written_is_no_error(mirrored, cache_folder):
    uri, *_ = mirrored
    cache_folder.parent.mkdir(parents=True)
    cache_folder.write_text("a file where the folder should be")
    assert len(analysis.load_mlflow(uri, "demo").table) == 6


def test_runs_without_a_stamp_are_not_cached(tracked, cache_folder):
    analysis.load_mlflow(tracked[0], "demo")
    assert not cache_folder.exists()
