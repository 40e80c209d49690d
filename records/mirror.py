"""Brings MLflow up to date with a sweep's records: a parent run per sweep, a child run per trial.

The records are the truth. Runs are looked up by their tag `trial_key`, so mirroring a trial again adds nothing.
"""

import json
import math
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from records import columns
from records.database import prepare_database
from records.mirror_names import (
    EPOCH,
    KEY,
    PLACES,
    SWEEPS,
    TRIALS,
    is_plotted,
    metric,
    pack,
    run_name,
    sweeps_view,
    trials_view,
    view_tag,
)
from records.mlflow_client import MirrorError as MirrorError
from records.mlflow_client import RefusedError as RefusedError
from records.mlflow_client import client_of, configure, explained, search_runs
from records.store import WEIGHTS, Record, SweepRecords

BATCH_METRICS, BATCH_PARAMS = 1000, 100
TAG_VALUE, PARAM_VALUE = 8000, 6000
PARENT = "mlflow.parentRunId"
ATTRIBUTION_FOLDER, WEIGHTS_FOLDER = "attribution", "weights"
"""Of a run's artifacts."""
SCORES = (columns.performance("test_ood", "auc"), columns.performance("test_id", "auc"))
TAGS = ("status", "error", columns.COLLAPSED, "host", "code_version", columns.PLUGINS, "started_at", *PLACES)
"""Columns of a record that are tags of its run."""


@dataclass(frozen=True)
class Experiment:
    """Where a sweep is mirrored. Plain strings, so that it travels to a trial's process."""

    tracking_uri: str
    experiment_id: str
    parent_run_id: str
    named_by: tuple[str, ...] = (KEY,)
    """Columns in the names of the trials' runs, as of `mirror_names.telling_apart`."""


def open_experiment(
    tracking_uri: str,
    sweep: str,
    artifact_location: str | None = None,
    scores: Sequence[str] = SCORES,
    say: Callable[[str], None] = print,
) -> Experiment:
    """The MLflow experiment and parent run of a sweep, created if missing. For the driver only.

    Args:
        tracking_uri: of the MLflow server or database.
        sweep: the experiment's and the parent run's name.
        artifact_location: of a new experiment; None leaves the choice to the server.
        scores: columns that the view of the trials shows, the outcome first.
        say: takes the message that a half-made database was replaced.

    Raises:
        MirrorError: MLflow cannot be reached or refuses, or its database cannot be used.
    """
    with explained(tracking_uri):
        configure()
        prepare_database(tracking_uri, say)
        client = client_of(tracking_uri)
        existing = client.get_experiment_by_name(sweep)
        experiment_id = existing.experiment_id if existing else client.create_experiment(sweep, artifact_location)
        if existing and existing.lifecycle_stage != "active":
            client.restore_experiment(experiment_id)
        parent = _find(client, experiment_id, "kind", "sweep")
        if parent is None:
            tags = {"kind": "sweep", "sweep": sweep, columns.MIRROR_STAMP: uuid.uuid4().hex}
            parent = client.create_run(experiment_id, run_name=sweep, tags=tags).info.run_id
        for view, content in ((TRIALS, trials_view(scores)), (SWEEPS, sweeps_view())):
            client.set_experiment_tag(experiment_id, view_tag(view), content)
    return Experiment(tracking_uri, experiment_id, parent)


def mirror_trial(
    experiment: Experiment,
    records: SweepRecords,
    record: Record,
    runs: Mapping[str, str] | None = None,
    weights: bool = True,
) -> str:
    """Log one record to its child run, with parameters, metrics per epoch and artifacts; the run's id.

    Also writes the id into the stored record.

    Args:
        experiment: the mirror.
        records: the sweep's.
        record: one of them.
        runs: all `mirrored_runs`, if nobody else mirrors the sweep; None looks up this trial's run, which takes longer
            the more runs MLflow has.
        weights: also the trial's weights, if they are kept.

    Raises:
        RefusedError: MLflow refuses this record.
        MirrorError: MLflow cannot be reached.
    """
    from mlflow.entities import Metric, Param, RunData, RunTag

    key = record["trial_key"]
    with explained(experiment.tracking_uri):
        client = client_of(experiment.tracking_uri)
        # Before and after: a reader in between caches under a stamp that is never seen again.
        _stamp(client, experiment)
        run_id = _find(client, experiment.experiment_id, "trial_key", key) if runs is None else runs.get(key)
        started = _milliseconds(record.get("started_at"))
        earlier = RunData() if run_id is None else client.get_run(run_id).data
        if run_id is None:
            tags = {
                PARENT: experiment.parent_run_id,
                "kind": "trial",
                "sweep": records.name,
                "trial_key": key,
            }
            name = run_name(record, experiment.named_by)
            run_id = client.create_run(experiment.experiment_id, started, tags, name).info.run_id
        epochs = json.loads(records.read_artifact(key, "epochs.json") or b"[]")
        metrics = [
            Metric(f"{EPOCH}/{metric(name)}", value, started, step)
            for step, values in enumerate(epochs)
            for name, value in values.items()
            if _is_number(value)
        ]
        parameters = _parameters(record)
        results = {k: v for k, v in record.items() if k not in parameters and _is_number(v)}
        metrics += [Metric(metric(name), float(v), started, 0) for name, v in results.items() if is_plotted(name)]
        unplotted = pack({name: v for name, v in results.items() if not is_plotted(name)}, TAG_VALUE)
        texts = {k: str(v)[:PARAM_VALUE] for k, v in parameters.items() if v is not None}
        params = [Param(k, text) for k, text in texts.items() if k not in earlier.params]
        unmoved = {name for name in PLACES if earlier.params.get(name, texts.get(name)) == texts.get(name)}
        names = [name for name in TAGS if record.get(name) is not None and name not in unmoved]
        facts = [RunTag(name, str(record[name])[:TAG_VALUE]) for name in names]
        facts += [RunTag(name, text) for name, text in unplotted.items()]
        # A trial that failed and was run again no longer has an error.
        for name in earlier.tags.keys() & {*TAGS} - {tag.key for tag in facts}:
            client.delete_tag(run_id, name)
        size = BATCH_METRICS - BATCH_PARAMS - len(facts)
        client.log_batch(run_id, metrics[:size], params[:BATCH_PARAMS], facts)
        for start in range(size, len(metrics), size):
            client.log_batch(run_id, metrics[start : start + size])
        with tempfile.TemporaryDirectory() as folder:
            for file in records.artifacts(key):
                to = Path(folder, WEIGHTS_FOLDER if file == WEIGHTS else ATTRIBUTION_FOLDER)
                if (file != WEIGHTS or weights) and (data := records.read_artifact(key, file)) is not None:
                    to.mkdir(exist_ok=True)
                    (to / file).write_bytes(data)
            if any(Path(folder).iterdir()):
                client.log_artifacts(run_id, folder)
        state = "FINISHED" if record["status"] == "completed" else "FAILED"
        client.set_terminated(run_id, state, started + _duration(record))
        _stamp(client, experiment)
    records.write({**record, "mlflow_run_id": run_id})
    return str(run_id)


def mirror_weights(experiment: Experiment, records: SweepRecords, kept: Iterable[str]) -> None:
    """Log weights that are kept to those of the trials' runs that lack them.

    Args:
        experiment: the mirror.
        records: the sweep's.
        kept: the keys of the trials whose weights are kept; those without a run are passed over.

    Raises:
        MirrorError: MLflow cannot be reached or refuses.
    """
    with explained(experiment.tracking_uri), tempfile.TemporaryDirectory() as folder:
        client, file = client_of(experiment.tracking_uri), Path(folder) / WEIGHTS
        for key in kept:
            run_id = _find(client, experiment.experiment_id, "trial_key", key)
            if run_id is None or client.list_artifacts(run_id, WEIGHTS_FOLDER):
                continue
            if (data := records.read_artifact(key, WEIGHTS)) is not None:
                file.write_bytes(data)
                client.log_artifact(run_id, str(file), WEIGHTS_FOLDER)


def mirror_sweep(
    experiment: Experiment,
    folder: Path | None,
    tags: Mapping[str, Any],
    metrics: Mapping[str, float | None],
    done: bool,
    params: Mapping[str, str] | None = None,
) -> None:
    """Log a sweep's report folder and summary to the parent run, and close it, as finished if `done`.

    Args:
        experiment: the mirror.
        folder: the report's; None for none.
        tags: facts that change when a sweep continues.
        metrics: numbers; those that are undefined are left out.
        done: whether all planned trials are done.
        params: facts that never change, which is what MLflow asks of parameters; those that are there stay.

    Raises:
        MirrorError: MLflow cannot be reached or refuses.
    """
    from mlflow.entities import Metric, Param, RunTag

    with explained(experiment.tracking_uri):
        client, run_id, now = client_of(experiment.tracking_uri), experiment.parent_run_id, _milliseconds(None)
        there = client.get_run(run_id).data.params if params else {}
        numbers = [Metric(name, float(v), now, 0) for name, v in metrics.items() if v is not None and _is_number(v)]
        for start in range(0, len(numbers), BATCH_METRICS):
            client.log_batch(run_id, numbers[start : start + BATCH_METRICS])
        client.log_batch(
            run_id,
            params=[Param(name, v[:PARAM_VALUE]) for name, v in (params or {}).items() if name not in there],
            tags=[RunTag(name, str(value)[:TAG_VALUE]) for name, value in tags.items()],
        )
        if folder is not None and folder.is_dir():
            client.log_artifacts(run_id, str(folder), "report")
        client.set_terminated(run_id, "FINISHED" if done else "KILLED")


def experiments(tracking_uri: str) -> dict[str, str]:
    """The ids of the sweeps' experiments by name, the one used last first.

    Raises:
        MirrorError: MLflow cannot be reached or refuses.
    """
    with explained(tracking_uri):
        sweeps = [e for e in client_of(tracking_uri).search_experiments() if view_tag(TRIALS) in e.tags]
    # MLflow knows when an experiment was made; its view is written whenever the sweep is run.
    sweeps.sort(key=lambda e: json.loads(e.tags[view_tag(TRIALS)])["updatedAt"], reverse=True)
    return {experiment.name: experiment.experiment_id for experiment in sweeps}


def sweep_is_mirrored(experiment: Experiment) -> bool:
    """Whether the parent run is finished, with its report.

    Raises:
        MirrorError: MLflow cannot be reached or refuses.
    """
    with explained(experiment.tracking_uri):
        run = client_of(experiment.tracking_uri).get_run(experiment.parent_run_id)
    return bool(run.info.status == "FINISHED")


def has_run(experiment: Experiment, record: Record) -> bool:
    """Whether the trial's run here is the one that the record names, which may be of another MLflow.

    Raises:
        MirrorError: MLflow cannot be reached or refuses.
    """
    with explained(experiment.tracking_uri):
        client = client_of(experiment.tracking_uri)
        run_id = _find(client, experiment.experiment_id, "trial_key", record["trial_key"])
    return run_id is not None and run_id == record.get("mlflow_run_id")


def mirrored_runs(experiment: Experiment) -> dict[str, str]:
    """The run ids of all trials, by trial key.

    Raises:
        MirrorError: MLflow cannot be reached or refuses.
    """
    with explained(experiment.tracking_uri):
        client = client_of(experiment.tracking_uri)
        runs: dict[str, list[str]] = {}
        for run in search_runs(client, experiment.experiment_id, "tags.kind = 'trial'"):
            if (key := run.data.tags.get("trial_key")) is not None:
                runs.setdefault(key, []).append(run.info.run_id)
        # Not before: deleting a run between pages would shift the next page.
        return {key: _only(client, ids) for key, ids in runs.items()}


def _stamp(client: Any, experiment: Experiment) -> None:
    client.set_tag(experiment.parent_run_id, columns.MIRROR_STAMP, uuid.uuid4().hex)


def _find(client: Any, experiment_id: str, tag: str, value: str) -> str | None:
    ids = [run.info.run_id for run in search_runs(client, experiment_id, f"tags.`{tag}` = '{value}'")]
    return _only(client, ids) if ids else None


def _only(client: Any, ids: Sequence[str]) -> str:
    """The first of a trial's runs. Deletes twins, left by a server that died between creating a run and answering."""
    for twin in ids[1:]:
        client.delete_run(twin)
    return ids[0]


def _parameters(record: Record) -> dict[str, Any]:
    return {name: record[name] for name in (*columns.settings_in(record), columns.SEARCHER) if name in record}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _milliseconds(moment: str | None) -> int:
    when = datetime.fromisoformat(moment) if moment else datetime.now().astimezone()
    return int(when.timestamp() * 1000)


def _duration(record: Record) -> int:
    parts = (record.get(name) or 0.0 for name in columns.with_role("time") if name.endswith("_seconds"))
    return int(1000 * sum(parts))
