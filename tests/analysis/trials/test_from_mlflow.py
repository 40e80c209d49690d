"""Trials from a real MLflow database."""

import json

import pandas as pd
import pytest

import analysis
from records import columns

pytestmark = pytest.mark.slow

CONFIGURATION = ("dataset", "severity", "method", "strength", "model", "seed", "data_seed")


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
    monkeypatch.setattr("records.mlflow_client.PAGE", 5)  # twelve trials on three pages
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
        row |= {"test_ood.auc.half_1": number / 7, "test_ood.iou.integrated_gradients.half_2": number / 9}
        row |= {"test_ood.n": 64, "schema_version": 1, "train_seconds": 0.5, "epochs": 2, "sweep": "present"}
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
        name: analysis.load_mlflow(uri, name).table.drop(columns="mlflow_run_id").set_index("trial_key")
        for name in ("present", "former", "both")
    }
    for name in ("former", "both"):
        pd.testing.assert_frame_equal(tables["present"].sort_index(), tables[name].sort_index(), check_like=True)
    assert {"test_ood.auc.half_1", "test_ood.n", "epoch.train.loss", "train_seconds"} <= set(tables["present"])


def test_no_such_experiment_and_one_without_trials(tracked):
    with pytest.raises(analysis.AnalysisError, match=r"no experiment 'dmeo' at .*: it has .*demo; check --sweep"):
        analysis.load_mlflow(tracked[0], "dmeo")
    with pytest.raises(analysis.AnalysisError, match="no run with the tag kind = trial"):
        analysis.load_mlflow(tracked[0], "Default")


def test_an_absent_server_is_named_without_its_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(analysis.AnalysisError) as error:
        analysis.load_mlflow("http://me:secret@127.0.0.1:9", "demo")
    assert "127.0.0.1:9" in str(error.value)
    assert "check --tracking-uri" in str(error.value)
    assert "secret" not in str(error.value)


def test_a_sweep_that_has_ended_is_read_from_its_table_and_declares_its_primary(tmp_path, make_table):
    from mlflow import MlflowClient

    from records import Manifest, Primary, SweepRecords, open_storage
    from records.mirror import mark_running, mirror_sweep, mirror_trial, open_experiment

    experiment = open_experiment(f"sqlite:///{tmp_path / 'mlflow.db'}", "demo", str(tmp_path / "artifacts"))
    uri, records = experiment.tracking_uri, SweepRecords(open_storage(tmp_path / "sweeps"), "demo")
    rows = [{**row, "schema_version": 1} for row in make_table(seeds=3, severities=(0.5,)).to_dict("records")]
    for row in rows:
        records.write(row)
    for row in rows[:6]:
        mirror_trial(experiment, records, row)
    assert len(analysis.load_mlflow(uri, "demo").table) == 6, "while it runs, there are only the runs"
    records.write_manifest(Manifest(primary=Primary(outcome="test_id.auc")))
    records.write_table(records.load().records)
    mirror_sweep(experiment, records, None, {}, {}, {}, done=False)
    trials = analysis.load_mlflow(uri, "demo")
    assert (trials.sweep, len(trials.table), trials.primary.outcome) == ("demo", 12, "test_id.auc")
    stored = analysis.load_sweep(tmp_path / "sweeps", "demo")
    pd.testing.assert_frame_equal(trials.table, stored.table)
    # It goes on: until it ends again, the table is outdated.
    mark_running(experiment)
    assert MlflowClient(uri).get_run(experiment.parent_run_id).info.status == "RUNNING"
    assert len(analysis.load_mlflow(uri, "demo").table) == 6
