"""Runs the trials that are not done yet through Ray Tune."""

import getpass
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from driver.plan.queue import Queue
from driver.ray.cluster import TrialResources
from driver.ray.shared_storage import MEND
from driver.stop import Stop
from driver.view.log import SweepLog
from driver.view.metrics import SweepMetrics
from driver.view.progress import Progress
from records import StorageError
from records.secrets import scrub
from records.storage import FolderStorage
from records.store import Record
from trainables import Recorder, TrialConfig, TrialTrainable
from trainables.trial.same_training import SameTraining, flat, parse
from trainables.tune.recorder import new_record

RETRIES = 2
"""How often a trial starts again whose process or node was lost."""
WAITING = 32
"""Trials that wait for room on a cluster: enough to keep new workers busy, and for an autoscaler to see the need."""


ROUND = 500
"""Trials that Tune is given at a time: it keeps each to the end, and looks through all of them after every one."""
TRIALS_A_SLOT = 20
"""At least so many for each trial that runs at a time: at the end of a round slots wait for the slowest trial."""


class TuneQueue(Searcher):
    """Hands the trainings of a queue to Tune, at most so many."""

    def __init__(self, queue: Queue, most: int, stop: Stop):
        super().__init__(metric="done", mode="max")
        self.queue = queue
        self.left = most
        self.stop = stop
        self.running: dict[str, SameTraining] = {}
        """By the id of their Tune trial."""

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if not self.left or not len(self.queue) or self.stop.requested:
            return Searcher.FINISHED
        try:
            given = self.queue.next()
        except StorageError as error:
            self.stop.give_up(str(error))
            return Searcher.FINISHED
        if given is None:
            return None
        self.left -= 1
        self.running[trial_id] = given
        return flat(given)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if trial_id in self.running:
            self.queue.ended(self.running.pop(trial_id))

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: what is done stands in the records."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class PatientScheduler(FIFOScheduler):
    """Leaves it to Tune which waiting trial takes over the process of one that ended.

    By default that is the trial that has waited longest, which on a cluster is the one whose process is just being
    started on a new node; that process is then thrown away. With short trials a new node would never get to work.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        return None


class ProgressCallback(tune.Callback):
    """Passes what happens to trials on to the progress view and the log, and gives lost trials their record."""

    def __init__(self, progress: Progress, recorder: Recorder, log: SweepLog, stop: Stop):
        self.progress = progress
        self.recorder = recorder
        self.log = log
        self.stop = stop
        self.metrics = SweepMetrics(recorder.sweep)

    def __getstate__(self) -> dict[str, Any]:
        # Tune stores its callbacks beside its own state, which nothing here reads back.
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.progress.started(trial.trial_id, _trials(trial))
        self.metrics.update(self.progress)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if result.get("storage_problem"):
            self.stop.give_up(result["storage_problem"])
        elif result.get("records"):
            self._finished(trial.trial_id, result["records"])
        else:
            self.progress.epoch(trial.trial_id, result["training_iteration"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        # Tune calls this once the retries are used up: each time the process was lost or could not go on.
        error = trial.get_pickled_error() or trial.get_error()
        cause = getattr(error, "cause", None) or error
        reason = scrub((str(cause).strip().splitlines() or ["unknown reason"])[-1])
        if isinstance(cause, StorageError):
            self.stop.give_up(str(cause))
            return
        try:
            records = [self._lost(config, reason) for config in _trials(trial)]
        except StorageError as problem:
            self.stop.give_up(str(problem))
            return
        self._finished(trial.trial_id, records)

    def _lost(self, config: TrialConfig, reason: str) -> Record:
        """The record of a trial whose process was lost for good: the one it had left by then, else one that says so."""
        left = self.recorder.existing_record(config)
        if left is not None:
            return left
        record = new_record(config, datetime.now(UTC))
        record |= {"status": "failed", "error": f"tried {RETRIES + 1} times: {reason}"[:2000]}
        record = self.recorder.marked(record)
        self.recorder.records.write(record)
        return record

    def _finished(self, trial_id: str, finished: Sequence[Record]) -> None:
        records = self.recorder.records
        for record in finished:
            key = record["trial_key"]
            if isinstance(records.storage, FolderStorage) and records.read(key) is None:
                # A node that joined later has a folder of the same name for itself.
                self.stop.give_up(
                    f"the record of trial {key} from node {record['host']} is not in {records.location!r}; {MEND}"
                )
                return
        self.progress.finished(trial_id, finished)
        self.metrics.update(self.progress)
        facts = ("trial_key", "status", "error", "dataset", "severity", "method", "strength", "seed", "train_seconds")
        for record in finished:
            self.log.event("trial", **{name: record.get(name) for name in facts})


def _trials(tune_trial: Any) -> SameTraining:
    """All trials that one of Tune's stands for."""
    return parse(tune_trial.config)


def run_trials(
    queue: Queue,
    recorder: Recorder,
    slots: int | None,
    resources: TrialResources,
    progress: Progress,
    log: SweepLog,
    stop: Stop,
) -> None:
    """Run what the queue hands out, `slots` trainings at a time, one thread each, in processes that are used again.
    Where `slots` is None, as many as the cluster has room for, also on nodes that join while the sweep runs.

    Ray's own files go to a temporary folder: what a sweep leaves behind are its records. Ends early, without raising,
    once `stop` is requested.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Tune prints a traceback each time that a trial is tried again; what becomes of it is said in the progress view.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    logging.getLogger("ray.air").setLevel(logging.CRITICAL)
    scratch = scratch_folder(recorder.storage, recorder.sweep)
    scratch.mkdir(mode=0o700)
    if slots is None:
        os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", str(WAITING))
    size = max(ROUND, TRIALS_A_SLOT * (slots or 0))
    callback = ProgressCallback(progress, recorder, log, stop)
    number = 0
    try:
        while len(queue) and not stop.requested:
            number += 1
            _run_round(
                f"round-{number}", queue, min(size, len(queue)), recorder, slots, resources, stop, callback, scratch
            )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def scratch_folder(storage: str, sweep: str) -> Path:
    """Where Ray's own files of a sweep go on this machine, while it runs; a killed driver leaves it."""
    location = hashlib.sha256(f"{storage}/{sweep}".encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"saliency-sweep-{getpass.getuser()}-{location}"


def _run_round(
    name: str,
    queue: Queue,
    most: int,
    recorder: Recorder,
    slots: int | None,
    resources: TrialResources,
    stop: Stop,
    callback: ProgressCallback,
    scratch: Path,
) -> None:
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(TrialTrainable, recorder=recorder, gpus=resources.gpus),
            tune.PlacementGroupFactory([resources.bundle()]),
        ),
        tune_config=tune.TuneConfig(
            search_alg=TuneQueue(queue, most, stop),
            num_samples=most,
            max_concurrent_trials=slots or most,
            reuse_actors=True,
            scheduler=PatientScheduler() if slots is None else None,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(scratch),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            stop=stop,
            callbacks=[callback],
        ),
    )
    tuner.fit()
