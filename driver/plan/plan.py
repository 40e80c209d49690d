"""From a space and the command line to the trials of a sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from driver.errors import UserError
from driver.plan.queue import PlannedQueue, Queue
from driver.plan.space_file import find_space
from records import StorageError, SweepRecords, open_storage
from records.store import Record
from search_spaces import Settings, Space
from trainables import DATASETS, METHODS, ConfigurationError, TrialConfig, resolve
from trainables.core.config import parse_settings
from trainables.core.errors import unknown_name
from trainables.datasets import PLACES, find_dataset, full_name
from trainables.trial.resolve import check_cues

if TYPE_CHECKING:
    from driver.plan.found import FoundSettings


@dataclass(frozen=True)
class Plan:
    """The trials of a sweep in the order in which they run, each once."""

    space: Space
    trials: dict[str, TrialConfig]
    """By trial key."""

    @property
    def planned(self) -> int:
        """How many trials there are in all."""
        return len(self.trials)

    def owns(self, record: Record) -> bool:
        """Whether a record of the sweep is one of these trials'."""
        return record["trial_key"] in self.trials

    def pending(self, records: SweepRecords) -> list[TrialConfig]:
        """The trials without a readable record, or with one that says they failed: a failure may have passed."""
        done = {key for key, status in records.statuses().items() if status != "failed"}
        return [config for key, config in self.trials.items() if key not in done]

    def queue(self, records: SweepRecords, slots: int | None) -> Queue:
        """The pending trials as they are handed out to `slots` at a time; None where that is not known.

        Args:
            records: of the sweep.
            slots: trainings at a time.
        """
        return PlannedQueue(self.pending(records))

    @property
    def searcher(self) -> str | None:
        """What chooses its trials by earlier results, if anything does."""
        return None

    def tuned(self) -> dict[str, str]:
        """Settings whose values are not known beforehand, each with its range in words."""
        return {}

    def answer(self, records: Sequence[Record]) -> str | None:
        """What came out, by the plan's own records; None where the analysis says it."""
        return None

    def others(self, records: SweepRecords) -> int:
        """How many trials of the sweep are not this plan's: other commands left them."""
        return len(records.done() - self.trials.keys())

    def declaration(self) -> dict[str, Any]:
        """What sweep.json says of it."""
        return {}


def make_plan(
    space: str,
    dataset: str | None,
    overrides: Mapping[str, Any],
    max_trials: int | None,
    found: "FoundSettings | None" = None,
) -> Plan:
    """The first `max_trials` trials of `space` (a registered name or a file), on `dataset`, with `overrides`.

    A dataset that the space has restricts it, or asks for trials that it has on request; another one takes the place of
    the space's, without the settings that only those have. An override of the method
    restricts the space to it. Any other override applies to the trials whose method and dataset have such a setting;
    trials that become equal are merged. Several selection rules, "last,best_valid_id", make a trial for each, side by
    side. What a search `found` for a method on a dataset takes the place of the space's own settings. A space with a
    search gives a `SearchPlan`, where an override of a tuned setting holds it fixed.

    Raises:
        UserError: a name that no registry has, an override that no trial has, a value out of range.
    """
    chosen = find_space(space)
    settings: Sequence[Settings] = chosen.trials
    unused = set(overrides)
    trials: dict[str, TrialConfig] = {}
    contents = Contents()
    try:
        if dataset is not None:
            find_dataset(dataset)
            dataset = full_name(dataset)
            own = [s for s in settings if s["dataset"] == dataset]
            settings = own or chosen.on_request.get(dataset) or [_on(dataset, s) for s in settings]
        if "method" in overrides:
            settings = _of_method(chosen, settings, str(overrides["method"]))
        for one in settings:
            one = one if found is None else {**one, **found.of(one)}
            applied = {k: v for k, v in overrides.items() if _applies(k, one, overrides)}
            unused -= set(applied)
            for settings_of_rule in _by_selection({**one, **applied}):
                config = contents.parse(settings_of_rule)
                trials.setdefault(config.trial_key, config)
            enough = max_trials is not None and chosen.search is None and len(trials) >= max_trials
            if enough and not unused:
                break
    except ConfigurationError as error:
        raise UserError(str(error)) from None
    if unused:
        name = sorted(unused)[0]
        raise UserError(f"unknown setting {name!r} in --set; choose from {', '.join(sorted(_all_settings()))}")
    if chosen.search is not None:
        from driver.plan.search import search_plan

        return search_plan(chosen, chosen.search, list(trials.values()), frozenset(overrides), max_trials)
    keys = list(trials)[:max_trials]
    return Plan(chosen, {key: trials[key] for key in keys})


class Contents:
    """Parses trials of which many have the same files, and looks at these once."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def parse(self, settings: Settings) -> TrialConfig:
        """The trial of flat settings, as by `resolve`."""
        fields = find_dataset(str(settings["dataset"])).Options.model_fields
        if "content" not in fields or settings.get("content"):
            return resolve(settings)
        place = repr((settings["dataset"], sorted((k, v) for k, v in settings.items() if k in fields)))
        config = resolve({**settings, "content": self.known.get(place, "")})
        self.known[place] = config.dataset_options["content"]
        return config


def check_data(plan: Plan) -> None:
    """Look at the data of all trials before any is trained: tables, files, images, and each severity and data seed.

    Raises:
        UserError: data that cannot be used, with file and row, or that lack what a method needs.
    """
    seen = set()
    try:
        for config in plan.trials.values():
            dataset = find_dataset(config.dataset)
            options = dataset.Options(**config.dataset_options)
            of_data = (dataset, options, config.severity, config.data_seed)
            if of_data not in seen:
                seen.add(of_data)
                dataset(options, config.severity, config.data_seed).check()
            if METHODS[config.method].needs_cues:
                known = dataset(options, config.severity, config.data_seed).knows_cues
                check_cues(config.method, config.dataset, known)
    except ConfigurationError as error:
        raise UserError(str(error)) from None


def parse_overrides(assignments: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE pairs as settings; see `parse_settings`.

    Raises:
        UserError: an argument without "=", or a key given twice.
    """
    try:
        return parse_settings(assignments)
    except ConfigurationError as error:
        raise UserError(str(error)) from None


def open_records(storage: str, name: str, fresh: bool) -> SweepRecords:
    """The records of sweep `name` in `storage`; with `fresh`, of the first of name, name-2, … that has no files yet.

    Raises:
        UserError: a storage or name that cannot be used, or a sweep.json that cannot be read.
    """
    try:
        place = open_storage(storage)
        place.check()
        records, number = SweepRecords(place, name), 1
        while fresh and place.names(f"{records.name}/"):
            number += 1
            records = SweepRecords(place, f"{name}-{number}")
        records.manifest()
    except (StorageError, ValueError) as error:
        raise UserError(str(error)) from None
    return records


def declare(records: SweepRecords, plan: Plan) -> None:
    """Write sweep.json: the space and its primary analysis, declared before the first trial and kept from then on.

    `planned_trials` are the plan's and those that other commands left in the sweep.

    Raises:
        UserError: it cannot be written, or what is there cannot be read.
    """
    try:
        manifest = records.manifest() or {"space": plan.space.name, "primary": plan.space.primary.as_dict()}
        trials = {"planned_trials": plan.planned + plan.others(records)}
        records.write_manifest({**manifest, **trials, **plan.declaration()})
    except (StorageError, ValueError) as error:
        raise UserError(str(error)) from None


def _on(dataset: str, settings: Settings) -> Settings:
    """The settings on another dataset, without those that the one before alone has."""
    old, new = (set(find_dataset(name).Options.model_fields) for name in (settings["dataset"], dataset))
    method = METHODS.get(settings["method"])
    kept = set(TrialConfig.model_fields) | new | (set(method.Options.model_fields) if method else set())
    return {k: v for k, v in settings.items() if k in kept or k not in old} | {"dataset": dataset}


def _of_method(space: Space, settings: Sequence[Settings], method: str) -> list[Settings]:
    if method not in METHODS:
        raise unknown_name("method", method, METHODS, "trainables/methods/__init__.py")
    own = [s for s in settings if s["method"] == method]
    if not own:
        has = ", ".join(sorted({s["method"] for s in settings}))
        raise UserError(f"space {space.name!r} has no trials of method {method!r}; it has {has}")
    return own


def _by_selection(settings: Settings) -> list[Settings]:
    """The settings once for each selection rule that they name."""
    named = settings.get("selection")
    if not isinstance(named, str):
        return [settings]
    return [{**settings, "selection": rule} for rule in named.split(",")]


def _applies(key: str, settings: Settings, overrides: Mapping[str, Any]) -> bool:
    method = METHODS.get(settings["method"])
    dataset = find_dataset(str(overrides.get("dataset", settings["dataset"])))
    if key == "strength" and method is not None:
        return method.has_penalty
    if key in ("mask_condition", "mask_fraction") and method is not None:
        return method.reads_masks
    if key in TrialConfig.model_fields:
        return True
    return any(owner is not None and key in owner.Options.model_fields for owner in (method, dataset))


def _all_settings() -> set[str]:
    names = set(TrialConfig.model_fields) - {"method_options", "dataset_options"}
    for method in METHODS.usable().values():
        names |= set(method.Options.model_fields)
    for dataset in (*DATASETS.usable().values(), *PLACES.values()):
        names |= set(dataset.Options.model_fields)
    return names
