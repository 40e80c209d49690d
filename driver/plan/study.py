"""One study of a search: suggests the next trial from the earlier ones.

A suggestion depends only on the study and the trials passed in. There is no state between suggestions and no second
database: the same records give the same suggestion.
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

from driver.plan.best_settings import SAMPLER, Cell, objective
from records import columns
from records.store import Record
from search_spaces import Tuned
from trainables import TrialConfig, resolve
from trainables.core.streams import stream_seed

Values = Mapping[str, Any]
"""Values of the tuned settings, by name."""
ATTEMPTS = 20
"""Suggestions that may repeat a trial before a random one is used."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Study:
    """Trials that differ only in the tuned settings; maximises the validation AUC."""

    base: TrialConfig
    """The trials' other settings; its values of the tuned ones are ignored."""
    tuned: tuple[Tuned, ...]
    trials: int
    """The total number, failed ones included."""
    seed: int
    startup: int
    """The number of random trials at the beginning."""

    @property
    def cell(self) -> Cell:
        return self.base.dataset, self.base.severity, self.base.method

    def owns(self, record: Record) -> bool:
        """Whether the record belongs to one of the study's trials, with the tuned settings in range."""
        if (record["dataset"], record["method"]) != (self.base.dataset, self.base.method):
            return False
        values = self.values(record)
        if not all(_within(tuned, values[tuned.setting]) for tuned in self.tuned):
            return False
        return self.config(values).trial_key == record["trial_key"]

    def values(self, record: Mapping[str, Any]) -> Values:
        """The tuned settings of a trial, from its record or the columns of its configuration."""
        return {tuned.setting: record.get(columns.setting(tuned.setting)) for tuned in self.tuned}

    def config(self, values: Values) -> TrialConfig:
        """The study's trial with these values."""
        return resolve({**self.base.flat(), **values})

    def random(self, number: int) -> TrialConfig:
        """Random trial `number`; the first `startup` of them are the study's first trials."""
        return self.config(self._ask(RandomSampler(seed=self._seed("random", number)), []))

    def suggest(self, finished: Sequence[Record], running: Sequence[TrialConfig]) -> TrialConfig:
        """The next trial.

        First the `startup` random trials that are neither finished nor running, then the sampler's suggestions. To the
        sampler a trial that failed or diverged, or whose AUC is undefined, has failed: it counts, without a value. It
        also knows the running trials, and avoids them.
        """
        taken = {record["trial_key"] for record in finished} | {config.trial_key for config in running}
        for first in map(self.random, range(self.startup)):
            if first.trial_key not in taken:
                return first
        # Where AUCs tie the order counts, and that of their times would differ between runs.
        trials = [self._finished(record) for record in sorted(finished, key=lambda r: str(r["trial_key"]))]
        trials += [self._trial(self.values(config.columns()), TrialState.RUNNING) for config in running]
        for attempt in range(ATTEMPTS):
            # With few possible values the sampler may repeat one.
            seed = self._seed(SAMPLER, len(trials), attempt)
            config = self.config(self._ask(TPESampler(seed=seed, n_startup_trials=self.startup), trials))
            if config.trial_key not in taken:
                return config
        others = map(self.random, itertools.count(self.startup))
        return next(config for config in others if config.trial_key not in taken)

    @property
    def size(self) -> float:
        """The number of different trials; infinite where a setting is continuous."""
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
        return stream_seed("search", name, self.seed, *self.cell, *parts) % 2**32

    def _ask(self, sampler: BaseSampler, trials: Sequence[FrozenTrial]) -> Values:
        study = optuna.create_study(sampler=sampler, direction="maximize")
        study.add_trials(trials)
        return study.ask(self._distributions).params

    def _finished(self, record: Record) -> FrozenTrial:
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
