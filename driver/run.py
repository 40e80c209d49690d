"""Runs the trials that are not done yet through Ray Tune."""

import logging
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from driver.progress import Progress
from records import SweepRecords, open_storage
from trainables import Recorder, TrialConfig, TrialTrainable

RETRIES = 2
"""How often a trial starts again whose process or node was lost."""


class TrialQueue(Searcher):
    """Hands the planned trials to Tune in their order."""

    def __init__(self, trials: Sequence[TrialConfig]):
        super().__init__(metric="done", mode="max")
        self.trials = trials
        self.next = 0

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        if self.next >= len(self.trials):
            return Searcher.FINISHED
        self.next += 1
        return self.trials[self.next - 1].flat()

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing to learn from a result: the plan is fixed."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: what is done stands in the records."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class ProgressCallback(tune.Callback):
    """Passes what happens to trials on to the progress view, and gives lost trials their record."""

    def __init__(self, progress: Progress, recorder: Recorder):
        self.progress = progress
        self.recorder = recorder

    def __getstate__(self) -> dict[str, Any]:
        # Tune stores its callbacks beside its own state, which nothing here reads back.
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.progress.started(trial.trial_id, TrialConfig.parse(trial.config))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if result.get("status"):
            self.progress.finished(trial.trial_id, result)
        else:
            self.progress.epoch(trial.trial_id, result["training_iteration"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        # Tune calls this once the retries are used up: the process or the node was lost each time.
        from datetime import UTC, datetime

        from trainables.recorder import new_record

        record = new_record(TrialConfig.parse(trial.config), datetime.now(UTC))
        reason = (trial.get_error() and str(trial.get_error()).strip().splitlines()[-1]) or "unknown reason"
        record |= {"status": "failed", "error": f"lost {RETRIES + 1} times: {reason}"[:2000]}
        record = {**record, "sweep": self.recorder.sweep}
        SweepRecords(open_storage(self.recorder.storage), self.recorder.sweep).write(record)
        self.progress.finished(trial.trial_id, record)


def run_trials(trials: Sequence[TrialConfig], recorder: Recorder, slots: int, progress: Progress) -> None:
    """Run `trials` in their order, `slots` at a time, one thread each, in processes that are used again.

    Ray's own files go to a temporary folder: what a sweep leaves behind are its records.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    scratch = tempfile.mkdtemp(prefix="saliency-sweep-")
    try:
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(TrialTrainable, recorder=recorder),
                tune.PlacementGroupFactory([{"CPU": 1}]),
            ),
            tune_config=tune.TuneConfig(
                search_alg=TrialQueue(trials),
                num_samples=len(trials),
                max_concurrent_trials=slots,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=recorder.sweep,
                storage_path=scratch,
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                callbacks=[ProgressCallback(progress, recorder)],
            ),
        )
        tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
