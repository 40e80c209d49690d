"""Trials from a real MLflow database."""

import pytest

import analysis
from records import columns

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
    monkeypatch.setattr("analysis.from_mlflow.PAGE", 5)  # twelve trials on three pages
    trials = analysis.load_mlflow(uri, "demo")
    assert trials.excluded == {"diverged": 1}
    assert (trials.n_read, len(trials.table)) == (12, 11)
    expected = table[1:].set_index("trial_key").sort_index()
    found = trials.table.set_index("trial_key").sort_index()
    score = columns.localisation("test_ood", "iou", "integrated_gradients")
    for name in (*CONFIGURATION, "hp.learning_rate", "test_ood.auc", "test_id.auc", score):
        assert found[name].tolist() == expected[name].tolist(), name
    assert found["preset"].tolist() == ["None"] * 11
    whole = analysis.analyse(table[1:], replicates=100)
    assert analysis.analyse(trials, replicates=100).verdict == whole.verdict


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
