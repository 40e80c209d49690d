"""One study of a search: which settings to try next, given what was tried.

A suggestion depends on nothing but the study and the trials that it is told of: there is no state between two of
them and no second database. The records are the truth, and whoever has them gets the same suggestion.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from driver.plan.objective import SAMPLER, objective
from records import columns
from records.store import Record
from search_spaces import Tuned
from trainables import TrialConfig, resolve
from trainables.core.streams import stream_seed

Values = Mapping[str, Any]
"""Numbers for the tuned settings, by name."""
ATTEMPTS = 20
"""So often the sampler may repeat a trial before a random one is taken."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Study:
    """Trials that differ in the tuned settings alone. To be found are those with the highest validation AUC."""

    base: TrialConfig
    """The trials' other settings; its own values of the tuned ones do not matter."""
    tuned: tuple[Tuned, ...]
    trials: int
    """To be run in all, those that fail included."""
    seed: int
    startup: int
    """So many random ones first."""

    def owns(self, record: Record) -> bool:
        """Whether it is a record of one of the study's trials, its tuned settings in range."""
        if (record["dataset"], record["method"]) != (self.base.dataset, self.base.method):
            return False
        values = self.values(record)
        if not all(_within(tuned, values[tuned.setting]) for tuned in self.tuned):
            return False
        return self.config(values).trial_key == record["trial_key"]

    def values(self, record: Record) -> Values:
        """The tuned settings of a trial, from its record or its configuration's columns."""
        return {tuned.setting: record.get(columns.setting(tuned.setting)) for tuned in self.tuned}

    def config(self, values: Values) -> TrialConfig:
        """The study's trial with these values."""
        return resolve({**self.base.flat(), **values})

    def random(self, number: int) -> TrialConfig:
        """Random trial `number`; the first `startup` of them are the study's first trials."""
        return self.config(self._ask(RandomSampler(seed=self._seed("random", number)), []))

    def suggest(self, finished: Sequence[Record], running: Sequence[TrialConfig]) -> TrialConfig:
        """What to try next.

        First the `startup` random trials that are neither finished nor running, then what the sampler makes of the
        others. A trial that failed or diverged, or whose AUC is undefined, is told as failed: it counts, and has no
        value. A running one is told as running, so that the sampler keeps away from it.
        """
        taken = {record["trial_key"] for record in finished} | {config.trial_key for config in running}
        for first in map(self.random, range(self.startup)):
            if first.trial_key not in taken:
                return first
        told = [self._told(record) for record in sorted(finished, key=_key)]
        told += [self._trial(self.values(config.columns()), TrialState.RUNNING) for config in running]
        for attempt in range(ATTEMPTS):
            # Where few values are possible it may name one that was tried.
            seed = self._seed(SAMPLER, len(told), attempt)
            config = self.config(self._ask(TPESampler(seed=seed, n_startup_trials=self.startup), told))
            if config.trial_key not in taken:
                return config
        others = map(self.random, itertools.count(self.startup))
        return next(config for config in others if config.trial_key not in taken)

    @property
    def size(self) -> float:
        """How many different trials there are; infinite where a setting is continuous."""
        return math.prod(t.high - t.low + 1 if t.whole else math.inf for t in self.tuned)

    @cached_property
    def _distributions(self) -> dict[str, BaseDistribution]:
        return {
            t.setting: IntDistribution(int(t.low), int(t.high), log=t.log)
            if t.whole
            else FloatDistribution(t.low, t.high, log=t.log)
            for t in self.tuned
        }

    def _seed(self, name: str, *parts: int) -> int:
        # numpy's legacy generator, which optuna uses, takes 32 bits.
        place = self.base.dataset, self.base.severity, self.base.method
        return stream_seed("search", name, self.seed, *place, *parts) % 2**32

    def _ask(self, sampler: BaseSampler, told: Sequence[FrozenTrial]) -> Values:
        study = optuna.create_study(sampler=sampler, direction="maximize")
        study.add_trials(told)
        return study.ask(self._distributions).params

    def _told(self, record: Record) -> FrozenTrial:
        value = record.get(objective(record["selection"])) if record["status"] == "completed" else None
        if value is None or not math.isfinite(value):
            return self._trial(self.values(record), TrialState.FAIL)
        return self._trial(self.values(record), TrialState.COMPLETE, value)

    def _trial(self, values: Values, state: TrialState, value: float | None = None) -> FrozenTrial:
        return create_trial(state=state, value=value, params=dict(values), distributions=self._distributions)


def _within(tuned: Tuned, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return tuned.low <= value <= tuned.high and (not tuned.whole or value == int(value))


def _key(record: Record) -> str:
    # Where trials have one AUC their order counts; that of their times would differ from run to run.
    return str(record["trial_key"])
