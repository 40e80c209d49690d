"""The MLflow that a sweep is mirrored to."""

import os
from pathlib import Path

from rich.console import Console

from driver.errors import UserError
from records.mirror import Experiment, MirrorError, open_experiment
from records.secrets import scrub

DEFAULT = "sqlite:///mlflow.db"
NONE = "none"
"""In place of a URI: nothing is mirrored, now. A later run or --sync with a URI mirrors what is there by then."""
SCHEMES = ("sqlite:///", "postgresql", "mysql", "http://", "https://", "databricks")


def check_tracking_uri(tracking_uri: str | None) -> str:
    """The tracking URI to use: the given one, MLFLOW_TRACKING_URI or sqlite:///mlflow.db, its path absolute; or none.

    Raises:
        UserError: a URI of another kind, or a database in a folder that is not there.
    """
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT
    if uri == NONE:
        return uri
    if not uri.startswith(SCHEMES):
        raise UserError(
            f"bad --tracking-uri {scrub(uri)!r}; give sqlite:///FILE.db, postgresql://…, a server's "
            "http(s)://HOST:PORT, or none"
        )
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///")).absolute()
        if not path.parent.is_dir():
            raise UserError(f"--tracking-uri {uri!r}: there is no folder {str(path.parent)!r}; make it first")
        uri = f"sqlite:///{path}"
    return uri


def open_tracking(tracking_uri: str, sweep: str, console: Console) -> Experiment | None:
    """The sweep's experiment; None where the URI is none and, with a warning, while MLflow is away."""
    if tracking_uri == NONE:
        return None
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    artifacts = None
    if tracking_uri.startswith("sqlite:///"):
        database = Path(tracking_uri.removeprefix("sqlite:///"))
        artifacts = (database.parent / "mlartifacts" / sweep).as_uri()
    try:
        return open_experiment(tracking_uri, sweep, artifacts)
    except MirrorError as error:
        console.print(
            f"{error}; trials go on, and the next run brings MLflow up to date", style="yellow", soft_wrap=True
        )
        return None
