"""Runs the pending trials of a sweep through Ray Tune."""

import fcntl
import hashlib
import itertools
import logging
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ray import cloudpickle, tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from analysis.numbers import count
from driver.plan.plan import Queue
from driver.ray.broken_methods import BrokenMethods
from driver.ray.cluster import SHARE_STORAGE, TrialResources, alone_on_a_node, secret_variables
from driver.terminal import say
from driver.upkeep.lease import user
from driver.upkeep.stop import Stop
from driver.view.log import SweepLog, SweepMetrics
from driver.view.progress import Progress
from records import StorageError
from records.secrets import is_secret, scrub
from records.storage import FolderStorage
from records.store import Record
from trainables import Recorder, TrialConfig, TrialTrainable
from trainables.trial.same_training import SameTraining, flat, parse
from trainables.trial.training import new_record
from trainables.tune.training import REPORTED

RETRIES = 2
"""Restarts of a trial whose process or node was lost; after them it waits for the last try, see `run_trials`."""
MEMORY = re.compile(r"running low on memory.*? was (?P<used>\S+ used / \S+ limit)", re.DOTALL)
"""In Ray's message for a process that it killed to free memory."""
MORE_MEMORY = "give the node more memory, or lower batch_size, attribution_images or the dataset's image_size"
FEWER = "To avoid this, run fewer trials at a time: --concurrency, or on a cluster --cpus-per-trial 2"
WAITING = 32
"""Trials queued on a cluster: enough to keep new workers busy, and to show an autoscaler the demand."""
ROUND, TRIALS_A_SLOT = 500, 20
"""Trials per Tuner, which scans all of them after each; minimum per slot, since a round ends with its slowest trial."""


class TuneQueue(Searcher):
    """Passes up to `limit` trainings of a queue to Tune."""

    def __init__(self, queue: Queue, limit: int, stop: Stop):
        super().__init__(metric="done", mode="max")
        self.queue = queue
        self.remaining = limit
        self.stop = stop
        self.running: dict[str, SameTraining] = {}
        """By the id of their Tune trial."""

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if not self.remaining or not len(self.queue) or self.stop.requested:
            return Searcher.FINISHED
        try:
            training = self.queue.next()
        except StorageError as error:
            self.stop.give_up(str(error))
            return Searcher.FINISHED
        if training is None:
            return None
        self.remaining -= 1
        self.running[trial_id] = training
        return flat(training)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if trial_id in self.running:
            self.queue.ended(self.running.pop(trial_id))

    def save(self, checkpoint_path: str) -> None:
        """Save nothing, since the records hold what is done."""

    restore = save

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its searcher with its own state, and the queue may hold the driver's storage.
        return {}


class PatientScheduler(FIFOScheduler):
    """Lets Tune choose which waiting trial takes over the process of a finished one.

    By default that may be one whose process is starting on a new node, which then would never get to work.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        return None


@dataclass(kw_only=True, eq=False)
class ProgressCallback(tune.Callback):
    """Passes Tune's events to the progress view, the log and the metrics, and writes the records of lost trials."""

    queue: Queue
    recorder: Recorder
    progress: Progress
    log: SweepLog
    stop: Stop
    followers: Sequence[Callable[[str], object]] = ()
    broken: BrokenMethods = field(default_factory=BrokenMethods)
    awaited: dict[str, SameTraining] = field(default_factory=dict)
    """Finished trainings whose records are still being written, by the key of their first trial."""
    lost: list[TrialConfig] = field(default_factory=list)
    """Trials that wait for their last try, as `RETRIES` are used up."""
    last_try: bool = False

    def __post_init__(self) -> None:
        self.metrics = SweepMetrics(self.recorder.sweep)

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks with its own state, which is never restored here.
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self.progress.started(trial.trial_id, parse(trial.config))
        self.metrics.update(self.progress)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        if result.get("storage_problem"):
            self.stop.give_up(result["storage_problem"])
        elif "epoch" in result:
            self.progress.epoch(trial.trial_id, result["epoch"])
        else:
            self.progress.ended(trial.trial_id)
            training = parse(trial.config)
            self.awaited[training[0].trial_key] = training
        for records in result.get("finished", ()):
            self.finished(records)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        # Its process was lost; it waits until another one has started.
        self.progress.ended(trial.trial_id)
        self.metrics.update(self.progress)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        # Also called for a trial that was stopped before it finished.
        self.progress.ended(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        # Called once the retries are used up, each after a lost process or an error that stopped it.
        self.progress.ended(trial.trial_id)
        error = error_of(trial)
        cause = getattr(error, "cause", None) or error
        if isinstance(cause, StorageError):
            self.stop.give_up(str(cause))
        else:
            self._lose(parse(trial.config), reason_of(cause))

    def collect(self) -> None:
        """Count the trainings whose records were written after the last result of their process."""
        for training in list(self.awaited.values()):
            try:
                records = [r for c in training if (r := self.recorder.records.read(c.trial_key)) is not None]
            except StorageError as problem:
                self.stop.give_up(str(problem))
                return
            except ValueError:
                records = []
            if len(records) < len(training):
                self._lose(training, "its process ended before its record was written")
            else:
                self.finished(records)
        self.awaited = {}

    def _lose(self, training: SameTraining, reason: str) -> None:
        """Put the trials of a training aside for their last try; after it, write records with the reason."""
        try:
            existing = [self.recorder.existing_record(config) for config in training]
            if None in existing and not self.last_try:
                self.lost += training
                self.log.event("lost", trials=[config.trial_key for config in training], reason=reason)
                return
            error = f"tried {RETRIES + 2} times, the last time alone on its node: {reason}"[:2000]
            failed = {"status": "failed", "error": error}
            records = [
                record or self.recorder.write({**new_record(config, datetime.now(UTC)), **failed})
                for record, config in zip(existing, training, strict=True)
            ]
        except StorageError as problem:
            self.stop.give_up(str(problem))
            return
        self.finished(records)

    def start_last_try(self) -> Queue:
        """Print that the lost trials are tried once more, and return their queue."""
        self.last_try = True
        self.queue = Queue(self.lost)
        lost = count(len(self.lost), "trial")
        message = f"{lost} killed, probably for memory: one more try, alone on a node. {FEWER}"
        say(self.progress.console, message, "yellow")
        return self.queue

    def finished(self, records: Sequence[Record]) -> None:
        """Count the records of one training, and pass them on."""
        self.awaited.pop(records[0]["trial_key"], None)
        try:
            for record in records:
                self._check_arrived(record)
            self.progress.finished(records)
            for record in records:
                for follow in self.followers:
                    follow(record["trial_key"])
        except StorageError as problem:
            self.stop.give_up(str(problem))
            return
        for record in records:
            self.log.event("trial", **{name: record.get(name) for name in REPORTED})
        if (reason := self.broken.add(records)) is not None:
            skipped = self.queue.drop(self.broken.skips)
            self.progress.give_up(reason, skipped)
            self.log.event("skip", reason=reason, trials=skipped)
        self.metrics.update(self.progress)

    def _check_arrived(self, record: Record) -> None:
        """Raise StorageError if the record is not in the driver's storage: a new node may have its own folder."""
        records, host = self.recorder.records, record.get("host")
        if not isinstance(records.storage, FolderStorage) or host == platform.node():
            return
        if records.storage.read(f"{records.name}/records/{record['trial_key']}.json") is None:
            raise StorageError(
                f"the record of trial {record['trial_key']} from node {host} is not in {records.location!r}; "
                f"{SHARE_STORAGE}"
            )


def run_trials(
    queue: Queue,
    *,
    recorder: Recorder,
    slots: int | None,
    resources: TrialResources,
    progress: Progress,
    log: SweepLog,
    stop: Stop,
    followers: Sequence[Callable[[str], object]] = (),
) -> None:
    """Run the queue's trainings, `slots` at a time, one thread each, in reused processes.

    With `slots` None, as many run as the cluster has room for, also on nodes that join later. A trial whose process was
    lost is restarted `RETRIES` times, then once more at the end, alone on its node: it may have run out of memory. If
    the first trials of a method fail the same way, its others are skipped. Each of `followers` is called with the key
    of each trial whose record is written.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Tune prints a traceback before each retry; the progress view says how the trial ended.
    for name in ("ray.tune", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if slots is None:
        os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", str(WAITING))
    send_no_secrets()
    size = max(ROUND, TRIALS_A_SLOT * (slots or 0))
    secrets = secret_variables()
    trainable = tune.with_parameters(TrialTrainable, recorder=recorder, gpus=resources.gpus, variables=secrets)
    hook = ProgressCallback(queue=queue, recorder=recorder, progress=progress, log=log, stop=stop, followers=followers)
    rounds = itertools.count(1)
    with scratch_folder(recorder.storage, recorder.sweep) as scratch:
        while len(queue) and not stop.requested:
            limit = min(size, len(queue))
            tuner = tune.Tuner(
                tune.with_resources(trainable, tune.PlacementGroupFactory([resources.bundle()])),
                tune_config=tune.TuneConfig(
                    search_alg=TuneQueue(queue, limit, stop),
                    num_samples=limit,
                    max_concurrent_trials=slots or limit,
                    reuse_actors=True,
                    scheduler=PatientScheduler() if slots is None else None,
                ),
                run_config=tune.RunConfig(
                    name=f"round-{next(rounds)}",
                    storage_path=str(scratch),
                    verbose=0,
                    failure_config=tune.FailureConfig(max_failures=0 if hook.last_try else RETRIES),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                    stop=stop,
                    callbacks=[hook],
                ),
            )
            tuner.fit()
            hook.collect()
            if hook.lost and not (hook.last_try or len(queue) or stop.requested):
                queue, resources = hook.start_last_try(), alone_on_a_node(resources)


_task_failed = RayActorManager._actor_task_failed


def _retry_if_killed_for_memory(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
    """Treat a trial that Ray killed to free memory as one whose process was lost: Tune 2.60 would raise from `fit`."""
    if isinstance(exception, OutOfMemoryError):
        exception = RayActorError(error_msg=str(exception))
    _task_failed(self, tracked_actor_task, exception)


RayActorManager._actor_task_failed = _retry_if_killed_for_memory


def error_of(trial: Any) -> object:
    """Ray's exception that ended a Tune trial, or Tune's text of its failures, without the delay of `get_error()`."""
    if (pickled := trial.pickled_error_file) is not None:
        return cloudpickle.loads(Path(pickled).read_bytes())
    return Path(trial.error_file).read_text() if trial.error_file else "unknown reason"


def reason_of(error: object) -> str:
    """Why a trial's process was lost, in one line, with a remedy if memory was full."""
    text = str(error).strip()
    if killed := list(MEMORY.finditer(text)):
        return f"out of memory ({killed[-1]['used']} on its node); {MORE_MEMORY}"
    line = scrub(text.splitlines()[-1])
    return f"{line} If memory was full, {MORE_MEMORY}" if "OOM killer" in line else line


def send_no_secrets() -> None:
    """Keep Tune from putting AWS's keys into the runtime environment of trials, which Ray's dashboard shows."""
    ENV_VARS_TO_PROPAGATE.difference_update(
        [name for name in ENV_VARS_TO_PROPAGATE if is_secret(name, os.environ.get(name, ""))]
    )


@contextmanager
def scratch_folder(storage: str, sweep: str) -> Iterator[Path]:
    """A folder for Ray's files of a running sweep, locked while this driver lives: a suspended one has its own."""
    folder = Path(tempfile.mkdtemp(prefix=scratch_prefix(storage, sweep)))
    try:
        with _locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_scratch(storage: str, sweep: str) -> None:
    """Remove the scratch folders of killed drivers of a sweep."""
    for folder in Path(tempfile.gettempdir()).glob(f"{scratch_prefix(storage, sweep)}*"):
        # Its driver still lives, or has just removed it.
        with suppress(OSError), _locked(folder):
            shutil.rmtree(folder, ignore_errors=True)


def scratch_prefix(storage: str, sweep: str) -> str:
    return f"saliency-sweep-{user()}-{hashlib.sha256(f'{storage}/{sweep}'.encode()).hexdigest()[:16]}-"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which the system releases when its holder dies. Raises OSError if it is held."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
