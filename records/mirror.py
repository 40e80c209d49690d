"""Logs a sweep's records to MLflow: a run for the sweep, and below it one for each trial, found by its `trial_key`.

Every public function raises MirrorError if MLflow cannot be reached or refuses, or if its database cannot be used.
"""

import json
import math
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from records import columns
from records.fence import Check, LostError
from records.mirror_names import KEY, PLACES, TRIALS_VIEW, is_plotted, metric, pack, run_name, views
from records.mlflow_client import MirrorError as MirrorError
from records.mlflow_client import RefusedError as RefusedError
from records.mlflow_client import check_owner, connected, owner_tags, search_runs
from records.storage import Storage
from records.store import EPOCHS, MANIFEST, MAPS, PICTURE, TABLE, WEIGHTS, Record, SweepRecords

TAG_VALUE, PARAM_VALUE = 8000, 6000
"""Largest numbers of characters."""
PARENT = "mlflow.parentRunId"
ATTRIBUTION_FOLDER, WEIGHTS_FOLDER = "attribution", "weights"
"""Folders of a run's artifacts."""
SCORES = (columns.performance("test_ood", "auc"), columns.performance("test_id", "auc"))
EPOCHS_FILE = TypeAdapter(list[dict[str, float | None]])
TAGS = (*columns.NOTED, *PLACES)
"""Columns of a record that are tags of its run."""


@dataclass(frozen=True)
class Experiment:
    """A sweep's experiment in MLflow."""

    tracking_uri: str
    experiment_id: str
    parent_run_id: str
    named_by: tuple[str, ...] = (KEY,)
    """Columns in the names of the trials' runs, from `mirror_names.telling_apart`."""
    check: Check | None = field(default=None, compare=False)
    """Called before each write; raises LostError if another driver has taken the sweep over."""


def open_experiment(
    tracking_uri: str,
    sweep: str,
    artifact_location: str | None = None,
    scores: Sequence[str] = SCORES,
    say: Callable[[str], None] = print,
    check: Check | None = None,
    storage: Storage | None = None,
) -> Experiment:
    """Open the experiment and the run of a sweep; create them if missing.

    Args:
        tracking_uri: of the MLflow server or database.
        sweep: its name.
        artifact_location: of a new experiment; None leaves the choice to the server.
        scores: columns that the view of the trials shows, the outcome first.
        say: takes the message that a half-made database was replaced.
        check: called before each write, here and with the experiment.
        storage: of the sweep; the experiment gets tags that name it.

    Raises:
        StorageError: the experiment belongs to another storage.
    """
    with connected(tracking_uri, say, check) as client:
        tags = {} if storage is None else owner_tags(storage)
        existing = client.get_experiment_by_name(sweep)
        if existing and storage is not None:
            check_owner(existing, storage)
        experiment_id = existing.experiment_id if existing else client.create_experiment(sweep, artifact_location, tags)
        if existing and existing.lifecycle_stage != "active":
            client.restore_experiment(experiment_id)
        parent = _runs(client, experiment_id, "kind", "sweep").get("sweep")
        if parent is None:
            tags = {"kind": "sweep", "sweep": sweep}
            parent = client.create_run(experiment_id, run_name=sweep, tags=tags).info.run_id
        for tag, text in (tags | views(scores)).items():
            client.set_experiment_tag(experiment_id, tag, text)
    return Experiment(tracking_uri, experiment_id, parent, check=check)


def mirror_trial(
    experiment: Experiment,
    records: SweepRecords,
    record: Record,
    runs: Mapping[str, str] | None = None,
    weights: bool = True,
) -> str:
    """Log one record to its run, with its artifacts; write the run's id into the stored record, and return it.

    Args:
        experiment: the sweep's experiment.
        records: the sweep's records.
        record: one of them.
        runs: all `mirrored_runs`; None looks up this trial's run, which takes longer the more runs MLflow has.
        weights: also log the trial's weights, if they are kept.

    Raises:
        RefusedError: MLflow refuses this record, or its metrics per epoch are damaged.
        LostError: another driver has taken the sweep over; a second run of the trial, made here, is deleted again.
    """
    from mlflow.entities import Metric, Param, RunData, RunTag

    key, named = record["trial_key"], (record.get("mlflow_run_id"),)
    try:
        epochs = EPOCHS_FILE.validate_json(records.read_artifact(key, EPOCHS) or b"[]")
    except ValidationError:
        again = "remove its record, and the same command runs it again"
        raise RefusedError(f"{EPOCHS} of trial {key} is damaged; {again}") from None
    with connected(experiment.tracking_uri, check=experiment.check) as client, _made(experiment, records, key) as made:
        run_id = (_runs(client, experiment.experiment_id, KEY, key, named=named) if runs is None else runs).get(key)
        existing = None if run_id is None else client.get_run(run_id)
        earlier = RunData() if existing is None else existing.data
        started = _milliseconds(record.get("started_at"))
        metrics = [
            Metric(metric(f"epoch.{name}"), value, started, step)
            for step, values in enumerate(epochs)
            for name, value in values.items()
            if _is_number(value)
        ]
        settings = (*columns.settings_in(record), columns.SEARCHER)
        results = {k: v for k, v in record.items() if k not in settings and _is_number(v)}
        metrics += [Metric(metric(name), float(v), started, 0) for name, v in results.items() if is_plotted(name)]
        texts = {k: str(record[k])[:PARAM_VALUE] for k in settings if record.get(k) is not None}
        params = [Param(k, text) for k, text in texts.items() if k not in earlier.params]
        unmoved = {name for name in PLACES if earlier.params.get(name, texts.get(name)) == texts.get(name)}
        names = [name for name in TAGS if record.get(name) is not None and name not in unmoved]
        tags = {name: str(record[name])[:TAG_VALUE] for name in names}
        tags |= pack({name: v for name, v in results.items() if not is_plotted(name)}, TAG_VALUE)
        if existing is None:
            identity = {PARENT: experiment.parent_run_id, "kind": "trial", "sweep": records.name, "trial_key": key}
            name = run_name(record, experiment.named_by)
            # With all tags, which saves a request.
            existing = client.create_run(experiment.experiment_id, started, identity | tags, name)
            tags = {}
            made.append(existing.info.run_id)
        run_id = str(existing.info.run_id)
        # A trial that failed and was run again no longer has an error.
        for name in earlier.tags.keys() & {*TAGS} - tags.keys():
            client.delete_tag(run_id, name)
        client.log_batch(run_id, metrics, params, [RunTag(name, value) for name, value in tags.items()])
        files = {f"{ATTRIBUTION_FOLDER}/{file}": records.read_artifact(key, file) for file in (EPOCHS, MAPS, PICTURE)}
        if weights:
            files[f"{WEIGHTS_FOLDER}/{WEIGHTS}"] = records.read_artifact(key, WEIGHTS)
        _log_files(experiment, existing, files)
        state = "FINISHED" if record["status"] == "completed" else "FAILED"
        seconds = [record.get(name) or 0.0 for name in columns.with_role("time") if name.endswith("_seconds")]
        client.set_terminated(run_id, state, started + int(1000 * sum(seconds)))
        records.write_run_id(key, run_id)
    return run_id


def mirror_weights(experiment: Experiment, records: SweepRecords, runs: Mapping[str, str], keys: Iterable[str]) -> None:
    """Log the weights of the trials `keys` to those of their runs, all `mirrored_runs`, that lack them."""
    with connected(experiment.tracking_uri, check=experiment.check) as client:
        for key in keys:
            if key in runs and not client.list_artifacts(runs[key], WEIGHTS_FOLDER):
                files = {f"{WEIGHTS_FOLDER}/{WEIGHTS}": records.read_artifact(key, WEIGHTS)}
                _log_files(experiment, client.get_run(runs[key]), files)


def mark_running(experiment: Experiment) -> None:
    """Mark the sweep's run as running: until `mirror_sweep`, the trials' runs may be ahead of its table.

    If another driver takes the sweep over meanwhile, and may have ended the run, this is undone.
    """
    run_id, check = experiment.parent_run_id, experiment.check or (lambda: None)
    with connected(experiment.tracking_uri) as client:
        before = client.get_run(run_id).info.status
        # A new run is running.
        if before != "RUNNING":
            check()
            client.update_run(run_id, "RUNNING")
            try:
                check()
            except LostError:
                client.update_run(run_id, before)
                raise


def mirror_sweep(
    experiment: Experiment,
    records: SweepRecords,
    report: Path | None,
    tags: Mapping[str, Any],
    metrics: Mapping[str, float | None],
    params: Mapping[str, str],
    done: bool,
) -> None:
    """Log the table of a sweep, its sweep.json, report and summary to the sweep's run, and end the run.

    Args:
        experiment: the sweep's experiment.
        records: its records, with the table written.
        report: the folder of the report, if there is one.
        tags: facts that may change when the sweep continues.
        metrics: numbers; undefined ones are left out.
        params: facts that never change, since MLflow allows no change of parameters; existing ones stay.
        done: whether all planned trials are done: the run is finished, otherwise killed.
    """
    from mlflow.entities import Metric, Param, RunTag

    with connected(experiment.tracking_uri, check=experiment.check) as client:
        run_id, now = experiment.parent_run_id, _milliseconds(None)
        run = client.get_run(run_id)
        client.log_batch(
            run_id,
            [Metric(name, float(v), now, 0) for name, v in metrics.items() if v is not None and _is_number(v)],
            [Param(name, v[:PARAM_VALUE]) for name, v in params.items() if name not in run.data.params],
            [RunTag(name, str(value)[:TAG_VALUE]) for name, value in tags.items()],
        )
        _log_files(
            experiment, run, {file: records.storage.read(f"{records.name}/{file}") for file in (TABLE, MANIFEST)}
        )
        if report is not None and report.is_dir():
            client.log_artifacts(run_id, str(report), "report")
        client.set_terminated(run_id, "FINISHED" if done else "KILLED")


def experiments(tracking_uri: str) -> dict[str, str]:
    """The ids of the sweeps' experiments by name, the latest used first."""
    with connected(tracking_uri) as client:
        sweeps = [e for e in client.search_experiments() if TRIALS_VIEW in e.tags]
    # The view is written at each run of the sweep; MLflow itself knows only when the experiment was made.
    sweeps.sort(key=lambda e: json.loads(e.tags[TRIALS_VIEW])["updatedAt"], reverse=True)
    return {experiment.name: experiment.experiment_id for experiment in sweeps}


def sweep_is_mirrored(experiment: Experiment) -> bool:
    """Whether the sweep's run is finished, with its report."""
    with connected(experiment.tracking_uri) as client:
        return bool(client.get_run(experiment.parent_run_id).info.status == "FINISHED")


def has_run(experiment: Experiment, record: Record) -> bool:
    """Whether the trial's run is the one that the record names, which may be in another MLflow."""
    with connected(experiment.tracking_uri) as client:
        runs = search_runs(client, experiment.experiment_id, f"tags.`{KEY}` = '{record[KEY]}'")
        return record.get("mlflow_run_id") in {run.info.run_id for run in runs}


def mirrored_runs(experiment: Experiment, named: Collection[str | None] = ()) -> dict[str, str]:
    """The run ids of all trials, by trial key. If a trial has several, those that are not `named` are deleted."""
    with connected(experiment.tracking_uri, check=experiment.check) as client:
        return _runs(client, experiment.experiment_id, "kind", "trial", by=KEY, named=named)


@contextmanager
def _made(experiment: Experiment, records: SweepRecords, key: str) -> Iterator[list[str]]:
    """A list of new runs of a trial. If another driver takes the sweep over, those are deleted that are superfluous.

    The only run of a trial stays, since the other driver may have found it.
    """
    made: list[str] = []
    try:
        yield made
    except LostError:
        # If MLflow cannot be reached, the next command deletes them.
        with suppress(MirrorError, ValueError), connected(experiment.tracking_uri) as client:
            record: Mapping[str, Any] = records.read(key) or {}
            runs = list(search_runs(client, experiment.experiment_id, f"tags.`{KEY}` = '{key}'"))
            for run_id in made if len(runs) > 1 else ():
                if run_id != record.get("mlflow_run_id"):
                    client.delete_run(run_id)
        raise


def _log_files(experiment: Experiment, run: Any, files: Mapping[str, bytes | None]) -> None:
    """Log artifacts of a run by their paths; those that are None do not exist."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.utils.uri import add_databricks_profile_info_to_artifact_uri

    # MLflow's client would ask for the run again.
    uri = add_databricks_profile_info_to_artifact_uri(run.info.artifact_uri, experiment.tracking_uri)
    if experiment.check is not None:
        experiment.check()
    with tempfile.TemporaryDirectory() as folder:
        for path, data in files.items():
            if data is not None:
                Path(folder, path).parent.mkdir(exist_ok=True)
                Path(folder, path).write_bytes(data)
        if any(Path(folder).iterdir()):
            get_artifact_repository(uri, tracking_uri=experiment.tracking_uri).log_artifacts(folder)


def _runs(
    client: Any, experiment_id: str, tag: str, value: str, by: str | None = None, named: Collection[str | None] = ()
) -> dict[str, str]:
    """The ids of the runs with a tag's value, by the same or another tag.

    If there are several, one that is `named`, else the first, stays, and the others are deleted: a server died before
    it answered, or another driver was suspended while it made one.
    """
    found: dict[str, list[str]] = {}
    # A list: deleting a run between two pages would shift the second.
    for run in list(search_runs(client, experiment_id, f"tags.`{tag}` = '{value}'")):
        if (key := run.data.tags.get(by or tag)) is not None:
            found.setdefault(key, []).append(run.info.run_id)
    kept = {key: next((run_id for run_id in ids if run_id in named), ids[0]) for key, ids in found.items()}
    for key, ids in found.items():
        for run_id in ids:
            if run_id != kept[key]:
                client.delete_run(run_id)
    return kept


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _milliseconds(moment: str | None) -> int:
    when = datetime.fromisoformat(moment) if moment else datetime.now().astimezone()
    return int(when.timestamp() * 1000)
