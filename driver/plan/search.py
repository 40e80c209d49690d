"""A sweep whose trials are found on the way, by one study for each method, dataset and severity of its space."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import optuna

from driver.errors import UserError
from driver.plan.found import Place, best_trials, in_words
from driver.plan.objective import SAMPLER, objective
from driver.plan.plan import Plan
from driver.plan.queue import Queue
from driver.plan.study import Study
from records import SweepRecords
from records.store import Record
from search_spaces import Search, Space
from trainables import ConfigurationError, TrialConfig
from trainables.trial.same_training import SameTraining


@dataclass(frozen=True)
class SearchPlan(Plan):
    """Studies side by side. `trials` are the random ones that each starts with."""

    search: Search
    studies: tuple[Study, ...]

    @property
    def planned(self) -> int:
        return sum(study.trials for study in self.studies)

    def owns(self, record: Record) -> bool:
        return any(study.owns(record) for study in self.studies)

    def others(self, records: SweepRecords) -> int:
        return sum(not self.owns(record) for record in records.load().records)

    def pending(self, records: SweepRecords) -> list[TrialConfig]:
        """As many random trials as are left to run: which they will be is not known yet."""
        found = records.load().records
        left = []
        for study in self.studies:
            done = sum(record["status"] != "failed" and study.owns(record) for record in found)
            left += [study.random(number) for number in range(min(done, study.trials), study.trials)]
        return left

    def check_pack(self, most: int) -> None:
        if most > 1:
            raise UserError(
                f"--pack {most} with space {self.space.name!r}, whose trials a search chooses one after another; "
                "leave --pack out, or take a space without a search"
            )

    def queue(self, records: SweepRecords, slots: int | None, most: int = 1) -> Queue:
        self.check_pack(most)
        return SearchQueue(self.studies, records, slots)

    @property
    def searcher(self) -> str | None:
        return SAMPLER

    def tuned(self) -> dict[str, str]:
        ranges = {t.setting: t for study in self.studies for t in study.tuned}
        return {name: f"from {t.low:g} to {t.high:g}{', log' if t.log else ''}" for name, t in ranges.items()}

    def declaration(self) -> dict[str, Any]:
        tuned = {t.setting: [t.low, t.high] for study in self.studies for t in study.tuned}
        search = {
            "sampler": SAMPLER,
            "optuna": optuna.__version__,
            "seed": self.search.seed,
            "startup": self.search.startup,
            "settings": tuned,
        }
        return {"search": search}

    def answer(self, records: Sequence[Record]) -> str:
        """The best trial of each study, in words."""
        best = best_trials([record for record in records if self.owns(record)])
        told = []
        for study in self.studies:
            place = place_of(study.base)
            where = in_words(place)
            if place not in best:
                told.append(f"{where}: no trial completed")
                continue
            record = best[place]
            values = ", ".join(f"{setting} {value:.4g}" for setting, value in study.values(record).items())
            column = objective(record["selection"])
            told.append(f"{where}: {values} ({column} {record[column]:.3f})")
        return "\n".join(["Best settings by validation AUC; --from takes them into another sweep:", *told])


def search_plan(
    space: Space, search: Search, bases: Sequence[TrialConfig], fixed: frozenset[str], max_trials: int | None
) -> SearchPlan:
    """The studies of `space`, one for each of `bases`, with `max_trials` trials in all, shared out evenly.

    Args:
        space: that has the search.
        search: what is tuned, and how.
        bases: the studies' other settings.
        fixed: tuned settings that are held at the bases' values instead.
        max_trials: None for the search's own number a study.

    Raises:
        UserError: a study that has too few different trials for its number; two of one method, dataset and severity; a
            setting or range that its trials cannot have.
    """
    studies: list[Study] = []
    for number, base in enumerate(bases):
        tuned = tuple(t for t in search.of(base.method, base.dataset) if t.setting not in fixed)
        share = search.trials_on.get(base.dataset, search.trials)
        if max_trials is not None:
            share = min(share, max_trials // len(bases) + (number < max_trials % len(bases)))
        study = Study(base, tuned, share, search.seed, min(search.startup, share))
        if study.size < share:
            settings = " or ".join(t.setting for t in search.of(base.method, base.dataset))
            raise UserError(
                f"the study of {in_words(place_of(base))} has {study.size:.0f} different trials, fewer than the "
                f"{share} to run; leave out --set of {settings}, or lower --max-trials"
            )
        if any(place_of(base) == place_of(other.base) for other in studies):
            raise UserError(
                f"space {space.name!r} has two studies of {in_words(place_of(base))}, and a search has one; "
                "run it again under another --name with the other settings"
            )
        studies.append(study)
    studies = [study for study in studies if study.trials]
    try:
        for study in studies:
            study.config({t.setting: t.low for t in study.tuned})
            study.config({t.setting: t.high for t in study.tuned})
    except ConfigurationError as error:
        raise UserError(str(error)) from None
    first = [study.random(number) for number in range(search.startup) for study in studies if number < study.startup]
    return SearchPlan(space, {config.trial_key: config for config in first}, search, tuple(studies))


def place_of(base: TrialConfig) -> Place:
    """What a search finds settings for."""
    return base.dataset, base.severity, base.method


class SearchQueue:
    """Asks each study in turn for what to try next.

    A study has no more trials running at a time than slots need: with no more slots than studies it is one, and what it
    tries next depends on its own finished trials alone, never on timing. With more slots, or on a cluster that grows, a
    suggestion also depends on what was running by then.
    """

    def __init__(self, studies: Sequence[Study], records: SweepRecords, slots: int | None):
        self.records = records
        self.progress = [_Progress(study) for study in studies]
        self.at_a_time = math.inf if slots is None else math.ceil(slots / max(len(studies), 1))
        for record in records.load().records:
            for progress in self.progress:
                if progress.study.owns(record):
                    progress.take_up(record)

    def __len__(self) -> int:
        return sum(progress.left for progress in self.progress)

    def next(self) -> SameTraining | None:
        for progress in self.progress:
            progress.look(self.records)
        ready = [p for p in self.progress if p.left and len(p.running) < self.at_a_time]
        if not ready:
            return None
        chosen = min(ready, key=lambda p: (len(p.running), p.given))
        return (chosen.next(),)

    def ended(self, training: SameTraining) -> None:
        for progress in self.progress:
            progress.ended += [config.trial_key for config in training if config.trial_key in progress.running]


class _Progress:
    """How far one study is."""

    def __init__(self, study: Study):
        self.study = study
        self.finished: list[Record] = []
        self.running: dict[str, TrialConfig] = {}
        self.ended: list[str] = []
        """Trial keys of running ones that have ended; their records are read once they are asked for."""
        self.again: list[TrialConfig] = []
        """Failed in an earlier run; a failure may have passed."""

    @property
    def given(self) -> int:
        return len(self.finished) + len(self.running)

    @property
    def left(self) -> int:
        return max(0, self.study.trials - self.given)

    def take_up(self, record: Record) -> None:
        if record["status"] != "failed":
            self.finished.append(record)
        else:
            self.again.append(self.study.config(self.study.values(record)))

    def look(self, records: SweepRecords) -> None:
        """Take the records of the trials that have ended."""
        for key in self.ended:
            del self.running[key]
            try:
                record = records.read(key)
            except ValueError:
                # Damaged since: the sweep's next run sets it aside and runs the trial again.
                continue
            if record is not None:
                self.finished.append(record)
        self.ended = []

    def next(self) -> TrialConfig:
        config = self.again.pop(0) if self.again else self.study.suggest(self.finished, list(self.running.values()))
        self.running[config.trial_key] = config
        return config
