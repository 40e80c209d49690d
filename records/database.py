"""MLflow's SQLite database: created whole or not at all, and replaced if another program left it half made.

MLflow creates a database in many steps and cannot open one whose creation was interrupted.
"""

import shlex
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from records.folder_storage import FolderStorage
from records.storage_interface import StorageError

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

SQLITE = "sqlite:///"
QUIET = 5.0
"""Seconds without a change after which a half-made database counts as abandoned."""
BUSY = 20.0
"""Seconds to wait for a database that another process has locked."""
VERSION = "alembic_version"
FILLED_BY_MLFLOW = (VERSION, "workspaces")
"""Tables with rows in an unused database."""
ANEW = "move it away: the next run of a sweep with --sync mirrors the records into a new one"


class DatabaseError(Exception):
    """A database that MLflow cannot use; the message says how to fix it."""


class HalfMadeError(DatabaseError):
    """A database whose creation was interrupted; it is empty."""


def database_file(tracking_uri: str) -> Path | None:
    """The file of a SQLite database; None for another kind of URI."""
    if not tracking_uri.startswith(SQLITE):
        return None
    return Path(tracking_uri.removeprefix(SQLITE).partition("?")[0])


def check_database(tracking_uri: str) -> None:
    """Raise DatabaseError unless a SQLite database exists and has the schema of the installed MLflow.

    MLflow checks other kinds of URI itself.
    """
    path = database_file(tracking_uri)
    if path is None:
        return
    if not path.exists():  # sqlite3 would create it
        raise DatabaseError("there is no such database")
    try:
        with closing(sqlite3.connect(path, timeout=BUSY)) as database:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            versions = database.execute("SELECT version_num FROM alembic_version") if VERSION in tables else ()
            revision = next((str(version) for (version,) in versions), None)
            if revision == _schema_history().get_current_head():
                return
            # MLflow adds its default experiment first. A table's name cannot be a parameter.
            names = (name.replace('"', '""') for name in tables if name not in FILLED_BY_MLFLOW)
            is_used = any(database.execute(f'SELECT EXISTS (SELECT 1 FROM "{name}")').fetchone()[0] for name in names)  # noqa: S608
    except sqlite3.Error as error:
        raise DatabaseError(f"the database cannot be read: {error}") from error
    if not is_used:
        raise HalfMadeError("the database is half made: what created it was interrupted. The next sweep replaces it")
    if revision is None:
        raise DatabaseError(f"the database has tables but no schema version, so MLflow cannot open it; {ANEW}")
    if revision not in {script.revision for script in _schema_history().walk_revisions()}:
        raise DatabaseError(f"the database is of a newer MLflow (schema {revision}); install that one, or {ANEW}")
    raise DatabaseError(
        f"the database is of an older MLflow (schema {revision}), or its upgrade was interrupted; keep a copy of it, "
        f"then run `mlflow db upgrade {shlex.quote(f'{SQLITE}{path}')}`. If that fails, {ANEW}"
    )


def prepare_database(tracking_uri: str, say: Callable[[str], None]) -> None:
    """Create a missing SQLite database, and replace a half-made one; `say` takes the message.

    Several processes may do this at once. Other kinds of URI are left alone. Raises DatabaseError if the database
    cannot be used or written.
    """
    path = database_file(tracking_uri)
    if path is None:
        return
    path = path.resolve()
    try:
        if not path.exists():
            # SQLite would apply the journal of a removed database to the new one.
            for suffix in ("-journal", "-wal"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            FolderStorage(path.parent).create(path.name, _new_database())
        try:
            check_database(tracking_uri)
        except HalfMadeError:
            # Another program may still be creating it. A clock that is behind that of the file's disk does not wait.
            while 0 <= time.time() - path.stat().st_mtime < QUIET:
                time.sleep(0.5)
            _replace_half_made(path, say)
    except (StorageError, OSError) as error:
        reason = getattr(error.__cause__ or error, "strerror", None) or error
        raise DatabaseError(f"the database cannot be written: {reason}; give another --tracking-uri or none") from error
    check_database(tracking_uri)


@lru_cache
def _schema_history() -> "ScriptDirectory":
    """All revisions of the schema that the installed MLflow knows."""
    from importlib.resources import files  # loaded with MLflow only, which takes seconds

    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(files("mlflow") / "store" / "db_migrations"))


def _new_database() -> bytes:
    """A database without runs, as MLflow creates it."""
    from mlflow.tracking import MlflowClient

    with tempfile.TemporaryDirectory(prefix="mlflow-") as folder:
        path = Path(folder) / "mlflow.db"
        MlflowClient(f"{SQLITE}{path}").search_experiments(max_results=1)
        return path.read_bytes()


def _replace_half_made(path: Path, say: Callable[[str], None]) -> None:
    """Replace a database that is still half made, and so holds no run, unless another process does so first."""
    # An earlier check deleted its journal, so this file is all of it. It is read before it is checked again: if another
    # process puts a whole database here, `replace` below finds other bytes.
    half_made = path.read_bytes()
    with suppress(HalfMadeError):
        check_database(f"{SQLITE}{path}")
        return
    if FolderStorage(path.parent).replace(path.name, half_made, _new_database()):
        say(f"{path} was half made, as what created it was interrupted; it held no run and was replaced")
