"""The plan of a search: one study per method, dataset and severity, whose trials depend on earlier results."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import optuna

from driver import UserError, user_errors
from driver.plan.plan import Plan, Queue
from driver.plan.study import SAMPLER, Study, best_in_words, best_trials, describe
from records import Manifest, SweepRecords
from records.manifest import DeclaredSearch
from records.store import Record
from search_spaces import Search, Space
from trainables import ConfigurationError, TrialConfig
from trainables.trial.same_training import SameTraining


@dataclass(frozen=True, kw_only=True)
class SearchPlan(Plan):
    """Studies side by side. `trials` holds the random trials that each starts with."""

    searcher = SAMPLER
    search: Search
    studies: tuple[Study, ...]

    @property
    def planned(self) -> int:
        return sum(study.trials for study in self.studies)

    def owns(self, record: Record) -> bool:
        return any(study.owns(record) for study in self.studies)

    def pending(self, records: Sequence[Record]) -> list[TrialConfig]:
        """A random trial for each remaining one, since the real ones are unknown."""
        pending = []
        for study in self.studies:
            done = sum(record["status"] != "failed" and study.owns(record) for record in records)
            pending += [study.random(number) for number in range(min(done, study.trials), study.trials)]
        return pending

    def queue(self, records: SweepRecords, existing: Sequence[Record], slots: int | None) -> Queue:
        return SearchQueue(self.studies, records, existing, slots)

    def fixed(self) -> dict[str, dict[str, Any]]:
        """Nothing, since the analysis excludes trials that a search chose."""
        return {}

    def tuned(self) -> dict[str, str]:
        ranges = {t.setting: t for study in self.studies for t in study.tuned}
        return {name: f"from {t.low:g} to {t.high:g}{', log' if t.log else ''}" for name, t in ranges.items()}

    def declared_in(self, manifest: Manifest) -> Manifest:
        used = {t for study in self.studies for t in study.tuned}
        search = DeclaredSearch(
            sampler=SAMPLER,
            optuna=optuna.__version__,
            seed=self.search.seed,
            startup=self.search.startup,
            settings={t.setting: (t.low, t.high) for t in self.search.tuned if t in used},
        )
        return replace(manifest, search=search)

    def answer(self, records: Sequence[Record]) -> str:
        best = best_trials(record for record in records if self.owns(record))
        return best_in_words(best, {study.cell: [t.setting for t in study.tuned] for study in self.studies})


@user_errors(ConfigurationError)
def search_plan(
    space: Space, search: Search, bases: Sequence[TrialConfig], fixed: frozenset[str], max_trials: int | None
) -> SearchPlan:
    """One study for each of `bases`, whose settings in `fixed` are not tuned; `max_trials` are divided evenly."""
    studies: list[Study] = []
    cut = False
    for number, base in enumerate(bases):
        tuned = search.of(base.method, base.dataset)
        share = search.trials_on.get(base.dataset, search.trials)
        if max_trials is not None:
            most = max_trials // len(bases) + (number < max_trials % len(bases))
            cut, share = cut or most < share, min(share, most)
        free = tuple(t for t in tuned if t.setting not in fixed)
        study = Study(base, free, share, search.seed, min(search.startup, share))
        if study.size < share:
            settings = " or ".join(t.setting for t in tuned)
            raise UserError(
                f"the study of {describe(study.cell)} has {study.size:.0f} different trials, fewer than the "
                f"{share} to run; leave out --set of {settings}, or lower --max-trials"
            )
        if any(study.cell == other.cell for other in studies):
            raise UserError(
                f"space {space.name!r} has two studies of {describe(study.cell)}, and a search allows one; "
                "run it again under another --name with the other settings"
            )
        studies.append(study)
    studies = [study for study in studies if study.trials]
    for study in studies:
        # An invalid setting or range raises here.
        study.config({t.setting: t.low for t in study.tuned})
        study.config({t.setting: t.high for t in study.tuned})
    first = [study.random(number) for number in range(search.startup) for study in studies if number < study.startup]
    trials = {config.trial_key: config for config in first}
    return SearchPlan(space, trials, cut=cut, search=search, studies=tuple(studies))


@dataclass(eq=False)
class _Progress:
    """The state of one study: trial keys in `ended` are in `running` until their records are read."""

    study: Study
    finished: list[Record] = field(default_factory=list)
    running: dict[str, TrialConfig] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    failed_before: list[TrialConfig] = field(default_factory=list)
    """Trials that failed in an earlier run of the command and run again, since the cause may be gone."""

    @property
    def started(self) -> int:
        return len(self.finished) + len(self.running)

    @property
    def remaining(self) -> int:
        return max(0, self.study.trials - self.started)


class SearchQueue(Queue):
    """Takes trials from each study in turn.

    With at most as many slots as studies, a study runs one trial at a time, which depends only on its finished trials,
    never on timing. With more slots, or on a cluster that grows, it also depends on the trials running at that moment.
    """

    def __init__(self, studies: Sequence[Study], records: SweepRecords, existing: Sequence[Record], slots: int | None):
        self.records = records
        self.progress = [_Progress(study) for study in studies]
        self.at_a_time = math.inf if slots is None else math.ceil(slots / max(len(studies), 1))
        for record, progress in itertools.product(existing, self.progress):
            study = progress.study
            if not study.owns(record):
                continue
            if record["status"] == "failed":
                progress.failed_before.append(study.config(study.values(record)))
            else:
                progress.finished.append(record)

    def __len__(self) -> int:
        return sum(progress.remaining for progress in self.progress)

    def next(self) -> SameTraining | None:
        for progress in self.progress:
            self._read_ended(progress)
        ready = [p for p in self.progress if p.remaining and len(p.running) < self.at_a_time]
        if not ready:
            return None
        progress = min(ready, key=lambda p: (len(p.running), p.started))
        if progress.failed_before:
            config = progress.failed_before.pop(0)
        else:
            config = progress.study.suggest(progress.finished, list(progress.running.values()))
        progress.running[config.trial_key] = config
        return (config,)

    def _read_ended(self, progress: _Progress) -> None:
        for key in progress.ended:
            del progress.running[key]
            try:
                record = self.records.read(key)
            except ValueError:
                # Damaged meanwhile: the next run of the command sets it aside and repeats the trial.
                continue
            if record is not None:
                progress.finished.append(record)
        progress.ended = []

    def ended(self, training: SameTraining) -> None:
        for progress in self.progress:
            progress.ended += [config.trial_key for config in training if config.trial_key in progress.running]

    def drop(self, skips: Callable[[str], bool]) -> int:
        dropped = [progress for progress in self.progress if skips(progress.study.base.method)]
        self.progress = [progress for progress in self.progress if progress not in dropped]
        return sum(progress.remaining for progress in dropped)
