"""--keep-weights: which trials keep the weights of their model."""

import json
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import itemgetter

from analysis.numbers import count
from driver.plan.plan import Plan
from records import Manifest, SweepRecords, columns
from records.store import KeepWeights, Record

CHOSEN_BY = columns.performance("valid_id", "loss")
"""Lowest is best: every sweep has it, and ties are rare."""


class BestWeights:
    """Keeps, for each configuration, the weights of the trial with the lowest validation loss.

    Existing weights are compared too; they stay if any command kept all weights.
    """

    def __init__(self, records: SweepRecords, existing: Sequence[Record]):
        self._records = records
        with_weights = records.with_weights()
        kept_all = (records.manifest() or Manifest()).keep_weights == "all"
        self._staying = with_weights if kept_all else set[str]()
        self._best: dict[str, tuple[float, str]] = {}
        for record in existing:
            if record["trial_key"] in with_weights:
                self._compare(record)

    def add(self, trial_key: str) -> None:
        """Compare a new trial, and delete the weights that are not the best."""
        # The next load sets a damaged record aside.
        with suppress(ValueError):
            if (record := self._records.read(trial_key)) is not None:
                self._compare(record)

    def _compare(self, record: Record) -> None:
        if record["status"] != "completed":
            return
        configuration, loss = _configuration(record), record.get(CHOSEN_BY)
        rank = (math.inf if loss is None else loss, record["trial_key"])
        best = self._best.setdefault(configuration, rank)
        if rank == best:
            return
        self._best[configuration], (_, worse) = sorted((rank, best))
        if worse not in self._staying:
            self._records.delete_weights(worse)


def weights_note(keep: KeepWeights, records: SweepRecords, plan: Plan, existing: Sequence[Record]) -> str | None:
    """How many done trials of the plan stay without weights; None if none do, or weights are not kept."""
    if keep == "none":
        return None
    done = [record for record in existing if plan.owns(record) and record["status"] == "completed"]
    kept = records.with_weights() if done else set()
    # With `best`, another trial of the configuration may have the weights.
    identity: Callable[[Record], str] = _configuration if keep == "best" else itemgetter("trial_key")
    covered = {identity(record) for record in done if record["trial_key"] in kept}
    without = sum(identity(record) not in covered for record in done)
    if not without:
        return None
    return (
        f"Not trained again for their weights: {count(without, 'done trial')}. trainables.run_trial("
        "**trainables.settings_of(record)) trains one in Python and gives its model; --fresh begins a sweep that "
        "keeps them"
    )


def _configuration(record: Record) -> str:
    """All settings but the seeds."""
    return json.dumps({name: record[name] for name in columns.configuration_in(record)}, sort_keys=True)
