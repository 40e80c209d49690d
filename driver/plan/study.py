"""A study of a search: its next trial, which depends only on the study and the records, and the best settings."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from driver import UserError, user_errors
from records import StorageError, SweepRecords, columns
from records.store import Record
from search_spaces import Settings, Tuned
from trainables import TrialConfig, resolve
from trainables.core.streams import stream_seed

SAMPLER = "tpe"
"""The `hp.searcher` of a search's trials: the tree-structured Parzen estimator of Bergstra et al., NeurIPS 2011."""
ATTEMPTS = 20
"""Suggestions that may repeat a trial before a random one is used."""
Cell = tuple[str, float, str]
"""Dataset, severity and method: a search finds settings for each."""
Values = Mapping[str, Any]
"""Values of the tuned settings, by name."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


def objective(selection: str, measure: str = "auc") -> str:
    """The column of the validation AUC, on the split that selects the epoch; the ID split for the last epoch."""
    return columns.performance("valid_ood" if selection == "best_valid_ood" else "valid_id", measure)


@dataclass(frozen=True)
class Study:
    """Trials that differ only in the tuned settings; maximises the validation AUC."""

    base: TrialConfig
    """The trials' other settings; its values of the tuned ones are ignored."""
    tuned: tuple[Tuned, ...]
    trials: int
    seed: int
    startup: int
    """The number of random trials at the beginning, among all `trials`."""

    @property
    def cell(self) -> Cell:
        return self.base.dataset, self.base.severity, self.base.method

    def owns(self, record: Record) -> bool:
        """Whether the record belongs to one of the study's trials, with the tuned settings in range."""
        if (record["dataset"], record["method"]) != (self.base.dataset, self.base.method):
            return False
        values = self.values(record)
        is_valid = all(t.contains(values[t.setting]) for t in self.tuned)
        return is_valid and self.config(values).trial_key == record["trial_key"]

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

        First the `startup` random trials that are neither finished nor running, then the sampler's suggestions. The
        sampler counts trials that failed or diverged, or whose AUC is undefined, as failed. It avoids running trials.
        """
        taken = {record["trial_key"] for record in finished} | {config.trial_key for config in running}
        for first in map(self.random, range(self.startup)):
            if first.trial_key not in taken:
                return first
        # The order matters if AUCs tie, and the order in time would differ between runs.
        trials = [self.finished_trial(record) for record in sorted(finished, key=lambda r: str(r["trial_key"]))]
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
        """The number of different trials; infinite if a setting is continuous."""
        return math.prod(t.high - t.low + 1 if t.whole else math.inf for t in self.tuned)

    def finished_trial(self, record: Record) -> FrozenTrial:
        """A record as the sampler sees it."""
        value = record.get(objective(record.get("selection", ""))) if record["status"] == "completed" else None
        if value is None or not math.isfinite(value):
            return self._trial(self.values(record), TrialState.FAIL)
        return self._trial(self.values(record), TrialState.COMPLETE, value)

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

    def _trial(self, values: Values, state: TrialState, value: float | None = None) -> FrozenTrial:
        return create_trial(state=state, value=value, params=dict(values), distributions=self._distributions)


@dataclass(frozen=True)
class BestSettings:
    """The tuned settings of the best trial per method, dataset and severity of a search."""

    sweep: str
    by_cell: dict[Cell, Settings]

    def of(self, settings: Settings) -> Settings:
        """The best settings for a trial's method, dataset and severity; for any severity if only one was searched."""
        dataset, method = settings["dataset"], settings["method"]
        by_severity = {s: best for (d, s, m), best in self.by_cell.items() if (d, m) == (dataset, method)}
        severity = settings.get("severity")
        if severity in by_severity:
            return by_severity[severity]
        if len(by_severity) == 1:
            return by_severity.popitem()[1]
        cells = ", ".join(map(describe, sorted(self.by_cell)))
        raise UserError(
            f"--from {self.sweep} has no completed trial of method {method!r} on dataset {dataset!r}"
            f"{f' at severity {severity}' if by_severity else ''}; it has {cells}; "
            "search there first, or restrict this sweep with --dataset, --set method=NAME or --set severity=NUMBER"
        )


def describe(cell: Cell) -> str:
    dataset, severity, method = cell
    return f"{method} on {dataset} at severity {severity:g}"


def best_in_words(best: Mapping[Cell, Record], tuned: Mapping[Cell, Sequence[str]]) -> str:
    """The best trial of each cell in `tuned`, with the values of the settings that were tuned there."""
    lines = ["Best settings by validation AUC; --from uses them in another sweep:"]
    for cell, settings in tuned.items():
        if (record := best.get(cell)) is None:
            lines.append(f"{describe(cell)}: no trial completed")
            continue
        values = ", ".join(f"{setting} {value:.4g}" for setting, value in _values(record, settings).items())
        column = objective(record.get("selection", ""))
        lines.append(f"{describe(cell)}: {values} ({column} {record[column]:.3f})")
    return "\n".join(lines)


def load_best_settings(records: SweepRecords) -> BestSettings:
    """The settings of the best completed trial per cell. Raises UserError if the sweep is not a search or has none."""
    with user_errors(StorageError, ValueError):
        manifest, existing = records.manifest(), records.load().records
    if manifest is None:
        raise UserError(f"--from {records.name}: there is no sweep at {records.location}; check the name and --storage")
    if manifest.search is None:
        raise UserError(
            f"--from {records.name}: space {manifest.space!r} of that sweep has no search; "
            "name a sweep of a space with a search, such as paper_search"
        )
    best = best_trials(existing)
    if not best:
        raise UserError(f"--from {records.name}: none of its trials completed; run that search first")
    tuned = manifest.search.settings
    return BestSettings(records.name, {cell: _values(record, tuned) for cell, record in best.items()})


def best_trials(records: Iterable[Record]) -> dict[Cell, Record]:
    """The best completed trial per cell of a search: highest AUC, then lowest loss on that split, then first key."""

    def rank(record: Record) -> tuple[float, float, str]:
        loss = record.get(objective(record.get("selection", ""), "loss"))
        return -record[objective(record.get("selection", ""))], math.inf if loss is None else loss, record["trial_key"]

    best: dict[Cell, Record] = {}
    for record in records:
        is_chosen = record["status"] == "completed" and record.get(columns.SEARCHER) == SAMPLER
        if is_chosen and record.get(objective(record.get("selection", ""))) is not None:
            cell = cell_of(record)
            best[cell] = min(best.get(cell, record), record, key=rank)
    return best


def cell_of(record: Record) -> Cell:
    return record["dataset"], record["severity"], record["method"]


def _values(record: Record, tuned: Iterable[str]) -> Settings:
    """The tuned settings that the record has; settings of other methods and datasets are not in it."""
    values = {setting: record.get(columns.setting(setting)) for setting in tuned}
    return {setting: value for setting, value in values.items() if value is not None}
