"""The MLflow of a sweep: its URI, its database, and the links into its UI."""

import os
import re
import socket
import sqlite3
from contextlib import closing

import pytest
import typer
from rich.console import Console

from driver import UserError
from driver.upkeep.tracking import check_tracking_uri, experiment_of, missing_database, open_tracking
from driver.view import mlflow_ui
from driver.view.mlflow_ui import PROJECT, where
from records import SweepRecords, open_storage
from records.mlflow_client import find_experiments

LINK = "#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=trials"


@pytest.mark.parametrize("by_variable", [True, False])
def test_none_makes_no_database(by_variable, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "none" if by_variable else "sqlite:///other.db")
    tracking = check_tracking_uri(None if by_variable else "none")
    assert experiment_of(tracking, "large") is None
    assert list(tmp_path.iterdir()) == []
    assert "--sync" in where(tracking, None)


def test_looking_for_an_experiment_makes_no_database(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert missing_database(uri)
    assert experiment_of(uri, "any") is None
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def half_made(tmp_path):
    """The URI of a database whose creation was interrupted."""
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE runs (run_uuid TEXT)")
    # Some time ago: nobody is creating it.
    os.utime(path, (0, 0))
    return f"sqlite:///{path}"


def test_a_half_made_database_has_no_experiment_and_is_not_served(half_made, monkeypatch, capsys):
    assert experiment_of(half_made, "any") is None
    assert find_experiments(half_made, SweepRecords(open_storage("none"), "any")) == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", half_made)
    with pytest.raises(typer.Exit):
        mlflow_ui.main(None)
    assert "ui: the database is half made: what created it was interrupted. The next" in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep_replaces_a_half_made_database(half_made, tmp_path, capsys):
    experiment = open_tracking(half_made, "any", Console(width=400))
    assert experiment_of(half_made, "any") == experiment.experiment_id
    assert f"{tmp_path / 'mlflow.db'} was half made" in capsys.readouterr().out


def test_a_database_with_runs_is_not_replaced_and_trials_continue_without(half_made, tmp_path, capsys):
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.execute("INSERT INTO runs VALUES ('1')")
    assert open_tracking(half_made, "any", Console(width=400)) is None
    assert re.fullmatch(r"MLflow at sqlite:.*no schema version.*trials continue.*\n", capsys.readouterr().out)


def test_an_unreachable_server_has_no_experiment(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert experiment_of("http://127.0.0.1:9", "any") is None


UI = f"http://127.0.0.1:5000/{LINK}   (served by "


@pytest.mark.parametrize(
    ("uri", "variables", "expected"),
    [
        (f"sqlite:///{PROJECT}/mlflow.db", {}, f"{UI}make ui)"),
        ("sqlite:////data/a.db", {}, f"{UI}MLFLOW_TRACKING_URI=sqlite:////data/a.db make ui)"),
        ("postgresql://me:pw@db/x", {}, f"{UI}MLFLOW_TRACKING_URI='postgresql://***@db/x' make ui)"),
        ("sqlite:////a b;id $(id)/x.db", {}, f"{UI}MLFLOW_TRACKING_URI='sqlite:////a b;id $(id)/x.db' make ui)"),
        ("http://host:80/m?token=pw", {}, f"http://host:80/m/{LINK}"),
        ("http://token@host:80/a@b", {}, f"http://host:80/a@b/{LINK}"),
        ("postgresql://me:pw@db/x", {"MLFLOW_TRACKING_URI": "postgresql://me:pw@db/x"}, f"{UI}make ui)"),
        ("http://me:pw@host:8080", {}, f"http://host:8080/{LINK}"),
        ("https://host/mlflow/", {}, f"https://host/mlflow/{LINK}"),
        ("databricks", {}, "databricks"),
        (
            "http://mlflow:5000",
            {"KUBERNETES_SERVICE_HOST": "10.0.0.1"},
            f"http://mlflow:5000/{LINK}   (from outside the cluster: port-forward, see k8s/README.md)",
        ),
        ("https://mlflow.org", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, f"https://mlflow.org/{LINK}"),
    ],
)
def test_the_link_opens_the_trials_and_holds_no_password(uri, variables, expected, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert where(uri, "7") == expected


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("none", "there is no MLflow: MLFLOW_TRACKING_URI is none"),
        ("sqlite:///absent.db", "there is no database at sqlite:///.*absent.db; run a sweep first"),
        ("ftp://host", "bad --tracking-uri"),
        ("databricks", "has a UI of its own"),
        ("http://me:secret@127.0.0.1:9", "^ui: MLflow at http://[^s]*127.0.0.1:9: "),
    ],
)
def test_a_uri_that_cannot_be_served_is_refused(uri, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(typer.Exit) as ended:
        mlflow_ui.main(None)
    assert ended.value.exit_code == 2
    assert re.search(message, capsys.readouterr().err)
    assert os.listdir(tmp_path) == []


def test_a_port_in_use_is_refused(free_port):
    with socket.create_server(("127.0.0.1", free_port)), pytest.raises(UserError, match=f"port {free_port} is in use"):
        mlflow_ui.serve("sqlite:///any.db", free_port, Console(quiet=True))
