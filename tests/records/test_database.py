"""MLflow's database: whole or not at all; half-made, older, newer and damaged ones."""

import multiprocessing
import shutil
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.resources import files

import mlflow.db
import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config
from mlflow.store.tracking.dbmodels.initial_models import Base
from mlflow.tracking import MlflowClient

from records import database
from records.database import DatabaseError, HalfMadeError, check_database, prepare_database

EARLY, LATE = "df50e92ffc5e", "1b5f0d9ad7c1"
"""Revisions of MLflow's schema; the last one fills the table `workspaces`."""


def uri(path):
    return f"sqlite:///{path}"


def execute(path, *statements):
    with closing(sqlite3.connect(path)) as opened, opened:
        return [opened.execute(statement).fetchall() for statement in statements]


def stopped_at(path, revision):
    """A database as MLflow leaves it if its creation is stopped after a revision; None stops before the first."""
    engine = sqlalchemy.create_engine(uri(path))
    Base.metadata.create_all(engine)
    engine.dispose()
    if revision is not None:
        config = Config()
        config.set_main_option("script_location", str(files("mlflow") / "store" / "db_migrations"))
        config.set_main_option("sqlalchemy.url", uri(path))
        command.upgrade(config, revision)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A database as `prepare_database` creates it."""
    path = tmp_path_factory.mktemp("whole") / "mlflow.db"
    prepare_database(uri(path), pytest.fail)
    return path


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """Databases whose creation was interrupted, by name."""
    folder = tmp_path_factory.mktemp("half-made")
    (folder / "empty").touch()
    execute(stopped_at(folder / "within a step", EARLY), "CREATE TABLE _alembic_tmp_tags (key TEXT)")
    stopped_at(folder / "no revision", None)
    for revision in (EARLY, LATE):
        stopped_at(folder / revision, revision)
    return folder


@pytest.fixture
def at_once(monkeypatch, whole):
    """No wait for other programs, and new databases by copying."""
    monkeypatch.setattr(database, "QUIET", 0.0)
    monkeypatch.setattr(database, "_new_database", whole.read_bytes)


def is_usable(path):
    check_database(uri(path))
    with closing(sqlite3.connect(path)) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return [e.name for e in MlflowClient(uri(path)).search_experiments()] == ["Default"]


def test_a_new_database_is_one_file_that_mlflow_opens(whole):
    assert [path.name for path in whole.parent.iterdir()] == ["mlflow.db"]
    assert is_usable(whole)
    content = whole.read_bytes()
    prepare_database(uri(whole), pytest.fail)
    assert whole.read_bytes() == content


@pytest.mark.parametrize("state", ["empty", "no revision", "within a step", EARLY, LATE])
def test_a_half_made_database_is_replaced(state, states, tmp_path, at_once):
    path = shutil.copy(states / state, tmp_path / "mlflow.db")
    with pytest.raises(HalfMadeError, match="half made: what created it was interrupted"):
        check_database(uri(path))
    messages = []
    prepare_database(uri(path), messages.append)
    assert messages == [f"{path} was half made, as what created it was interrupted; it held no run and was replaced"]
    assert is_usable(path)
    assert list(tmp_path.iterdir()) == [path]


RUN = "INSERT INTO runs (run_uuid, experiment_id) VALUES ('1', 0)"
# As between dropping a table and renaming its copy.
RENAMED = "ALTER TABLE experiments RENAME TO _alembic_tmp_experiments"


@pytest.mark.parametrize(
    ("revision", "statement", "message"),
    [
        (LATE, RUN, "of an older MLflow .schema 1b5f.*keep a copy.*run `mlflow db upgrade sqlite:///.*--sync"),
        (EARLY, RENAMED, "of an older MLflow .schema df50.*or its upgrade was interrupted"),
        ("ffffffffffff", RUN, "of a newer MLflow .schema ffff.*install that one.*--sync"),
        (LATE, "DELETE FROM alembic_version", "no schema version.*move it away.*--sync"),
        (LATE, "DROP TABLE alembic_version", "no schema version"),
    ],
)
def test_a_database_with_content_is_left_alone_and_the_message_says_what_to_do(
    revision, statement, message, whole, tmp_path, at_once
):
    path = shutil.copy(whole, tmp_path / "mlflow.db")
    execute(path, f"UPDATE alembic_version SET version_num = '{revision}'", statement)  # noqa: S608
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match=message) as caught:
        prepare_database(uri(path), pytest.fail)
    assert not isinstance(caught.value, HalfMadeError)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_the_upgrade_that_the_message_names_makes_an_older_database_usable(tmp_path):
    path = stopped_at(tmp_path / "mlflow.db", LATE)
    execute(path, "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (0, 'Default', 'active')")
    with pytest.raises(DatabaseError, match="older"):
        check_database(uri(path))
    mlflow.db.upgrade.callback(uri(path))
    assert is_usable(path)


def test_a_file_that_is_no_database_is_left_alone(tmp_path, at_once):
    path = tmp_path / "mlflow.db"
    path.write_text("my notes, which are long enough to be no header of a database\n" * 20)
    with pytest.raises(DatabaseError, match="cannot be read: file is not a database"):
        prepare_database(uri(path), pytest.fail)
    assert path.read_text().startswith("my notes")
    with pytest.raises(DatabaseError, match=r"cannot be written: .*; give another --tracking-uri or none"):
        prepare_database(uri(path / "mlflow.db"), pytest.fail)


def test_other_databases_and_servers_are_left_to_mlflow(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for other in ("postgresql://host/db", "http://host:5000", "databricks"):
        check_database(other)
        prepare_database(other, pytest.fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("state", [None, EARLY])
def test_only_one_of_many_processes_writes_the_database(state, states, tmp_path, at_once):
    path = tmp_path / "mlflow.db"
    if state is not None:
        shutil.copy(states / state, path)
    barrier, messages = threading.Barrier(8), []

    def first_command(_):
        barrier.wait()
        prepare_database(uri(path), messages.append)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(first_command, range(8)))
    assert is_usable(path)
    assert list(tmp_path.iterdir()) == [path]
    assert len(messages) == (state is not None)


def test_a_database_that_another_process_has_just_replaced_is_kept(whole, states, tmp_path, monkeypatch):
    path, messages, check = shutil.copy(states / EARLY, tmp_path / "mlflow.db"), [], database.check_database

    def then_replaced(checked):
        """The check, after which another process puts its database here."""
        try:
            check(checked)
        finally:
            path.write_bytes(whole.read_bytes())

    monkeypatch.setattr(database, "check_database", then_replaced)
    database._replace_half_made(path, messages.append)
    assert path.read_bytes() == whole.read_bytes()
    assert messages == []


def test_waits_for_another_program_that_creates_the_database(whole, states, tmp_path, at_once, monkeypatch):
    monkeypatch.setattr(database, "QUIET", 1.0)
    path = tmp_path / "mlflow.db"
    path.write_bytes((states / EARLY).read_bytes())
    other = threading.Timer(0.3, lambda: path.write_bytes(whole.read_bytes()))
    other.start()
    prepare_database(uri(path), pytest.fail)
    other.join()
    assert is_usable(path)


@pytest.mark.slow
def test_a_database_whose_creation_is_killed_at_any_of_30_moments_is_whole_or_missing(tmp_path):
    MlflowClient(uri(tmp_path / "loads.db")).search_experiments()

    def create(path, patience):
        """Kill the creation of a database after some seconds; return whether there is one."""
        # A copy of this process, in which MLflow is loaded.
        process = multiprocessing.get_context("fork").Process(target=prepare_database, args=(uri(path), print))
        process.start()
        process.join(patience)
        process.kill()
        process.join()
        return path.exists()

    begin = time.monotonic()
    assert create(tmp_path / "undisturbed.db", None)
    seconds = time.monotonic() - begin
    paths = [tmp_path / f"{number}.db" for number in range(30)]
    made = [path for number, path in enumerate(paths) if create(path, seconds * (number + 0.5) / 27)]
    assert len(made) < 30, "none was killed in time"
    assert all(map(is_usable, made))


def test_the_journal_of_a_database_that_was_removed_does_not_damage_the_new_one(tmp_path, at_once):
    old, path = tmp_path / "old.db", tmp_path / "mlflow.db"
    execute(old, "CREATE TABLE old (text)", "INSERT INTO old VALUES (hex(randomblob(200000)))")
    with closing(sqlite3.connect(old)) as opened:
        # Changes that do not fit into the cache are written to the file, and the journal to the disk before.
        opened.execute("PRAGMA cache_size = 2")
        opened.execute("UPDATE old SET text = hex(randomblob(200000))")
        shutil.copy(tmp_path / "old.db-journal", tmp_path / "mlflow.db-journal")
    prepare_database(uri(path), pytest.fail)
    assert is_usable(path)
