"""The plan of a sweep: its trials, the queue that hands them out, and what sweep.json declares."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from driver import user_errors
from driver.plan.study import Cell, best_in_words, best_trials, cell_of
from records import Manifest, Primary, StorageError, SweepRecords, columns, open_storage
from records.manifest import Looks
from records.store import KeepWeights, Record
from search_spaces import SPACES, Settings, Space
from trainables import TrialConfig
from trainables.core.config import DETECTED
from trainables.trial.same_training import SameTraining, by_training

DESIGN = frozenset(
    (
        *("dataset", "severity", "method", "strength", "selection", *columns.CONTROLS),
        *map(columns.setting, ("mask_dilation", columns.PLUGINS)),
        # Where the images are; the digest of their content distinguishes them.
        columns.setting("root"),
    )
)
"""Columns that may take several values in any sweep: the analysis compares or distinguishes them by itself."""


class Queue:
    """Trainings that still have to run: all trials that share a training are run together."""

    def __init__(self, trials: Iterable[TrialConfig]):
        self.trainings = by_training(trials)
        self.handed_out = 0

    def __len__(self) -> int:
        """The number of trainings not handed out yet."""
        return len(self.trainings) - self.handed_out

    def next(self) -> SameTraining | None:
        """The next training; None if there is none, or none until a running one has ended."""
        if not len(self):
            return None
        self.handed_out += 1
        return self.trainings[self.handed_out - 1]

    def ended(self, training: SameTraining) -> None:
        """Note that a training no longer runs: its records are written, or the sweep stops."""

    def drop(self, skips: Callable[[str], bool]) -> int:
        """Remove queued trainings whose method `skips`, and return the number of their trials."""
        waiting = self.trainings[self.handed_out :]
        kept = [training for training in waiting if not skips(training[0].method)]
        self.trainings[self.handed_out :] = kept
        return sum(map(len, waiting)) - sum(map(len, kept))


@dataclass(frozen=True)
class Plan:
    """The trials of a sweep in the order in which they run."""

    space: Space
    trials: dict[str, TrialConfig]
    """By trial key."""
    replicate: int | None = None
    """The number of trials of each seed, before the plan is cut short; None if it differs between seeds."""
    cut: bool = False
    """Whether --max-trials leaves out trials of the space."""
    looks: Looks | None = None
    """The looks of a sweep that runs until it is answered; None runs the whole plan."""
    searcher: ClassVar[str | None] = None
    """The algorithm that chooses trials by earlier results, if any."""

    @property
    def planned(self) -> int:
        """The total number of trials."""
        return len(self.trials)

    @property
    def datasets(self) -> set[str]:
        return {config.dataset for config in self.trials.values()}

    @property
    def data_seeds(self) -> list[int]:
        """In the order in which they begin."""
        return list(dict.fromkeys(config.data_seed for config in self.trials.values()))

    def on_first(self, n: int) -> "Plan":
        """The trials of the first n data seeds."""
        chosen = set(self.data_seeds[:n])
        return replace(self, trials={key: config for key, config in self.trials.items() if config.data_seed in chosen})

    def owns(self, record: Record) -> bool:
        """Whether a record of the sweep belongs to one of these trials."""
        return record["trial_key"] in self.trials

    def others(self, records: Sequence[Record]) -> list[Record]:
        """A sweep's records that other commands left."""
        return [record for record in records if not self.owns(record)]

    def fixed(self) -> dict[str, dict[str, Any]]:
        return fixed_settings(self.space.trials, self.trials.values())

    def pending(self, records: Sequence[Record]) -> list[TrialConfig]:
        """The trials that have no record or failed, since the cause of a failure may be gone."""
        done = {record["trial_key"] for record in records if record["status"] != "failed"}
        return [config for key, config in self.trials.items() if key not in done]

    def queue(self, records: SweepRecords, existing: Sequence[Record], slots: int | None) -> Queue:
        """The pending trials; `slots` is None on a cluster that grows."""
        return Queue(self.pending(existing))

    def tuned(self) -> dict[str, str]:
        """Settings whose values are not known beforehand, each with its range in words."""
        return {}

    def answer(self, records: Sequence[Record]) -> str | None:
        """The result in words, from the plan's own records; None if the analysis gives it."""
        return None

    def declared_in(self, manifest: Manifest) -> Manifest:
        """The sweep's manifest with the entries that depend on the kind of plan."""
        # A command without looks goes on after the end, and the looks so far still count.
        looks = self.looks or (manifest.looks and replace(manifest.looks, end=None))
        return replace(manifest, fixed={**manifest.fixed, **self.fixed()}, looks=looks)


@dataclass(frozen=True, kw_only=True)
class DeclaredPlan(Plan):
    """All trials of the sweep, of any command. `trials` is empty, since none is trained."""

    manifest: Manifest

    @property
    def planned(self) -> int:
        return self.manifest.planned_trials or 0

    @property
    def datasets(self) -> set[str]:
        return set(self.manifest.fixed)

    def owns(self, record: Record) -> bool:
        return True

    def tuned(self) -> dict[str, str]:
        settings = self.manifest.search.settings if self.manifest.search else {}
        return {name: f"from {low:g} to {high:g}" for name, (low, high) in settings.items()}

    def answer(self, records: Sequence[Record]) -> str | None:
        if self.manifest.search is None:
            return None
        by_cell: dict[Cell, list[Record]] = defaultdict(list)
        for record in records:
            by_cell[cell_of(record)].append(record)
        varied = {}
        for cell, own_records in sorted(by_cell.items()):
            # Each method has its own settings: those that differ between its trials, or all if there is one trial.
            values = {name: {record.get(columns.setting(name)) for record in own_records} for name in self.tuned()}
            varied[cell] = [name for name, levels in values.items() if len(own_records) == 1 or len(levels) > 1]
        return best_in_words(best_trials(records), varied)


def declared_plan(manifest: Manifest) -> DeclaredPlan:
    """The plan of the sweep with this sweep.json."""
    name = str(manifest.space)
    space = SPACES[name]() if name in SPACES else Space(name, "", ())
    _, cut = manifest.latest_command()
    return DeclaredPlan(declared_space(space, manifest), {}, cut=cut, manifest=manifest)


def declared_space(space: Space, manifest: Manifest) -> Space:
    """The space with the primary and the comparisons that its sweep declared first, which the report keeps."""
    return replace(space, primary=manifest.primary or Primary(), comparisons=manifest.comparisons)


def fixed_settings(space: Sequence[Settings], trials: Iterable[TrialConfig]) -> dict[str, dict[str, Any]]:
    """By dataset, the values of all columns of settings that neither the space nor the plan varies.

    The analysis excludes records with other values. None stands for a setting that records omit at its default. A
    setting that `space` varies, before overrides, is free whatever value a command gives it.
    """
    free = set(DESIGN)
    first: dict[tuple[object, object], Settings] = {}
    for settings in space:
        other = first.setdefault((settings["dataset"], settings["method"]), settings)
        if other != settings:
            differing = (name for name in other.keys() | settings if other.get(name) != settings.get(name))
            free.update(map(columns.setting, differing))
    fixed: dict[str, dict[str, Any]] = {}
    # One trial of each combination is enough: all other differences between trials go with these.
    for config in {(c.dataset, c.severity, c.method, c.preset, c.model): c for c in trials}.values():
        values = dict.fromkeys(map(columns.setting, (*config.own_settings(), *DETECTED))) | config.columns()
        on_dataset = fixed.setdefault(config.dataset, values)
        free |= {name for name, value in values.items() if on_dataset.setdefault(name, value) != value}
    return {
        dataset: {name: values[name] for name in columns.ordered(set(columns.configuration_in(values)) - free)}
        for dataset, values in fixed.items()
    }


@user_errors(StorageError, ValueError)
def open_records(storage: str, name: str, fresh: bool) -> SweepRecords:
    """The records of sweep `name` in `storage`; with `fresh`, of the first of name, name-2, … that has no file."""
    opened = open_storage(storage)
    opened.check()
    records, number = SweepRecords(opened, name), 1
    while fresh and opened.names(f"{records.name}/"):
        number += 1
        records = SweepRecords(opened, f"{name}-{number}")
    records.manifest()
    return records


@user_errors(StorageError, ValueError)
def declare(records: SweepRecords, plan: Plan, command: str, others: int = 0, keep: KeepWeights = "none") -> bool:
    """Write sweep.json before the first trial, and return whether it changed.

    The space, primary and comparisons stay as the sweep first declared them. `planned_trials` counts the plan's trials
    and the `others`, records that other commands left. The latest command is the last of `commands`. `keep_weights` is
    "all" if any command kept all weights.
    """
    earlier = records.manifest()
    space = plan.space
    manifest = earlier or Manifest(space=space.name, primary=space.primary, comparisons=tuple(space.comparisons))
    declared = replace(
        plan.declared_in(manifest),
        planned_trials=plan.planned + others,
        commands=(*(other for other in manifest.commands if other != command), command),
        keep_weights="all" if keep == "all" else manifest.keep_weights,
    )
    records.write_manifest(declared)
    return earlier is None or declared.to_json() != earlier.to_json()
