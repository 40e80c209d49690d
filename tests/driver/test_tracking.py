"""Where a sweep is tracked, what its runs are called, and where people look at them."""

import io
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
from driver.view.mlflow_ui import PROJECT, server_of, where
from records.mirror_deletion import find_experiment

LINK = "#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=trials"


@pytest.mark.parametrize("by_variable", [True, False])
def test_none_is_no_database_and_no_warning(by_variable, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if by_variable:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "none")
    tracking = check_tracking_uri(None if by_variable else "none")
    assert experiment_of(tracking, "large") is None
    assert list(tmp_path.iterdir()) == []
    assert "--sync" in where(tracking, None)


def test_asking_for_an_experiment_makes_no_database(tmp_path):
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


def test_a_half_made_database_is_no_experiment_and_no_interface(half_made, monkeypatch, capsys):
    assert experiment_of(half_made, "any") is None
    assert find_experiment(half_made, "any") is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", half_made)
    with pytest.raises(typer.Exit):
        mlflow_ui.main(None)
    assert "ui: the database is half made: what created it was interrupted. The next" in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep_replaces_a_half_made_database_and_says_so(half_made, tmp_path):
    said = io.StringIO()
    experiment = open_tracking(half_made, "any", Console(file=said, width=400))
    assert experiment_of(half_made, "any") == experiment.experiment_id
    assert f"{tmp_path / 'mlflow.db'} was half made" in said.getvalue()
    assert "is now mlflow.db.half-made-1" in said.getvalue()


def test_a_database_that_is_not_to_be_replaced_is_said_and_trials_go_on_without(half_made, tmp_path):
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.execute("INSERT INTO runs VALUES ('1')")
    said = io.StringIO()
    assert open_tracking(half_made, "any", Console(file=said, width=400)) is None
    assert re.search(r"MLflow at sqlite:.*no schema version.*trials continue", said.getvalue())
    assert len(said.getvalue().splitlines()) == 1


def test_a_server_that_is_away_is_no_experiment(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert experiment_of("http://127.0.0.1:9", "any") is None


@pytest.mark.parametrize(
    ("uri", "variable", "expected"),
    [
        (f"sqlite:///{PROJECT}/mlflow.db", None, f"http://127.0.0.1:5000/{LINK}   (served by make ui)"),
        (
            "sqlite:////data/a.db",
            None,
            f"http://127.0.0.1:5000/{LINK}   (served by MLFLOW_TRACKING_URI=sqlite:////data/a.db make ui)",
        ),
        ("postgresql://me:pw@db/x", "same", f"http://127.0.0.1:5000/{LINK}   (served by make ui)"),
        ("http://me:pw@host:8080", None, f"http://host:8080/{LINK}"),
        ("https://host/mlflow/", None, f"https://host/mlflow/{LINK}"),
        ("databricks", None, "databricks"),
    ],
)
def test_the_link_opens_the_trials_and_holds_no_password(uri, variable, expected, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if variable:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert where(uri, "7") == expected


def test_the_link_of_a_server_inside_a_cluster_says_how_to_reach_it(monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert where("http://mlflow:5000", "7") == (
        f"http://mlflow:5000/{LINK}   (from outside the cluster: port-forward, see k8s/README.md)"
    )
    assert where("https://mlflow.example.com", "7") == f"https://mlflow.example.com/{LINK}"


def test_a_databases_password_is_in_no_message(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "secret" not in where("postgresql://me:secret@db/x", "7")
    assert server_of("http://me:secret@host:80") == "http://host:80"


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
def test_what_cannot_be_served_is_said(uri, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(typer.Exit) as ended:
        mlflow_ui.main(None)
    assert ended.value.exit_code == 2
    assert re.search(message, capsys.readouterr().err)
    assert os.listdir(tmp_path) == []


def test_a_port_in_use_is_said(free_port):
    with socket.create_server(("127.0.0.1", free_port)), pytest.raises(UserError, match=f"port {free_port} is in use"):
        mlflow_ui.serve("sqlite:///any.db", free_port, Console(quiet=True))


@pytest.mark.parametrize(
    ("display", "terminal", "opens"), [(":0", True, True), (":0", False, False), ("", True, False)]
)
def test_a_browser_is_opened_only_where_a_person_sees_it(display, terminal, opens, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    assert mlflow_ui.has_browser() == opens
