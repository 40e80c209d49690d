"""Deletes a sweep's experiment in MLflow, with its runs and those of their artifacts that are on this machine.

Both functions raise MirrorError if MLflow cannot be reached or refuses.
"""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from records.database import HalfMadeError, database_file
from records.mlflow_client import MirrorError, connected, search_runs

SUFFIX = " (deleted "
"""Precedes the time in the name of a deleted experiment."""


@dataclass(frozen=True)
class MlflowExperiment:
    """The experiment that mirrors a sweep."""

    tracking_uri: str
    experiment_id: str
    name: str
    runs: int
    folder: Path | None
    """Artifacts of the runs, if they are on this machine."""


def find_experiment(tracking_uri: str, sweep: str) -> MlflowExperiment | None:
    """The experiment of a sweep in MLflow, if there is one."""
    database = database_file(tracking_uri)
    if database is not None and not database.is_file():
        return None
    try:
        with connected(tracking_uri) as client:
            # An interrupted deletion has renamed it. LIKE takes an underscore for any character.
            similar = sorted(client.search_experiments(filter_string=f"name LIKE '{sweep}%'"), key=lambda e: e.name)
            experiment = next((e for e in similar if e.name == sweep or e.name.startswith(sweep + SUFFIX)), None)
            # An experiment without a sweep's run has the same name by accident.
            if experiment is None or not any(search_runs(client, experiment.experiment_id, "tags.kind = 'sweep'")):
                return None
            runs = sum(1 for _ in search_runs(client, experiment.experiment_id))
    except MirrorError as error:
        if isinstance(error.__cause__, HalfMadeError):
            return None
        raise
    artifacts = urlsplit(experiment.artifact_location)
    folder = Path(unquote(artifacts.path)) if database is not None and artifacts.scheme == "file" else None
    return MlflowExperiment(tracking_uri, experiment.experiment_id, experiment.name, runs, folder)


def delete_experiment(experiment: MlflowExperiment, sweep: str) -> None:
    """Delete the experiment of a sweep."""
    with connected(experiment.tracking_uri) as client:
        # MLflow keeps the name taken, and restoring the experiment would restore its runs.
        if experiment.name == sweep:
            moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
            client.rename_experiment(experiment.experiment_id, f"{sweep}{SUFFIX}{moment})")
        client.delete_experiment(experiment.experiment_id)
    if experiment.folder is not None:
        shutil.rmtree(experiment.folder, ignore_errors=True)
