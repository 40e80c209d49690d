"""MLflow's SQLite database: created whole or not at all, and replaced if another program left it half made.

MLflow creates a database in many steps and cannot open one whose creation was interrupted.
"""

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from itertools import count
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
FILLED_BY_MLFLOW = ("alembic_version", "workspaces")
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
    if (path := database_file(tracking_uri)) is not None:
        _check(path)


def prepare_database(tracking_uri: str, say: Callable[[str], None]) -> None:
    """Create a missing SQLite database, and replace a half-made one, which is kept under another name.

    Several processes may do this at once. Other kinds of URI are left alone. `say` takes the message that a half-made
    database was replaced.

    Raises:
        DatabaseError: the database cannot be used or written.
    """
    path = database_file(tracking_uri)
    if path is None:
        return
    path = path.resolve()
    with _writing():
        if not path.exists():
            # SQLite would apply the journal of a removed database to the new one.
            for suffix in ("-journal", "-wal"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            FolderStorage(path.parent).create(path.name, _new_database())
        try:
            _check(path)
        except HalfMadeError:
            _wait_until_quiet(path)
            _replace_half_made(path, say)
    _check(path)


def _check(path: Path) -> None:
    if not path.exists():  # sqlite3 would create it
        raise DatabaseError("there is no such database")
    head = _schema_history().get_current_head()
    try:
        with closing(sqlite3.connect(path, timeout=BUSY)) as database:
            revision = _revision(database)
            if revision == head:
                return
            is_used = _has_rows(database)
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
        f"then run `mlflow db upgrade {SQLITE}{path}`. If that fails, {ANEW}"
    )


def _tables(database: sqlite3.Connection) -> list[str]:
    return [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def _revision(database: sqlite3.Connection) -> str | None:
    """The revision of the schema; None before the first one."""
    if "alembic_version" not in _tables(database):
        return None
    row = database.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _has_rows(database: sqlite3.Connection) -> bool:
    """Whether the database was ever used: MLflow adds its default experiment first."""
    names = (name.replace('"', '""') for name in _tables(database) if name not in FILLED_BY_MLFLOW)
    # A table's name cannot be a parameter.
    return any(database.execute(f'SELECT EXISTS (SELECT 1 FROM "{name}")').fetchone()[0] for name in names)  # noqa: S608


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


def _wait_until_quiet(path: Path) -> None:
    """Wait while a program is still creating the database."""
    # A clock that is behind that of the file's disk must not wait for long.
    while 0 <= time.time() - path.stat().st_mtime < QUIET:
        time.sleep(0.5)


def _replace_half_made(path: Path, say: Callable[[str], None]) -> None:
    """Replace a database that is still half made, unless another process does so first."""
    # An earlier check deleted its journal, so this file is all of it. It is read before it is checked again: if another
    # process puts a whole database here, `replace` below finds other bytes.
    half_made = path.read_bytes()
    with suppress(HalfMadeError):
        _check(path)
        return
    storage = FolderStorage(path.parent)
    names = (f"{path.name}.half-made-{number}" for number in count(1))
    aside = next(name for name in names if storage.create(name, half_made))
    if storage.replace(path.name, half_made, _new_database()):
        say(f"{path} was half made, as what created it was interrupted: it held no run, and is now {aside}")
    else:
        storage.delete(aside)


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except (StorageError, OSError) as error:
        reason = getattr(error.__cause__ or error, "strerror", None) or error
        raise DatabaseError(f"the database cannot be written: {reason}; give another --tracking-uri or none") from error
