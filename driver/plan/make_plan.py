"""From a space and the command line to a plan, any first part of which spans severities and methods."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from driver import UserError, user_errors
from driver.plan.plan import Plan
from driver.plan.search import search_plan
from driver.plan.space_file import find_space
from driver.plan.study import BestSettings
from search_spaces import Settings, Space
from trainables import DATASETS, METHODS, ConfigurationError, TrialConfig, resolve
from trainables.core.errors import did_you_mean, unknown_name
from trainables.datasets import PLACES, find_dataset, full_name
from trainables.trial.data import check_trial_data
from trainables.trial.network import check_network
from trainables.trial.resolve import check_cues

SHARED_TRAINING = {"selection", "preset"}
"""Trials that differ only in these stay together, as they may share a training."""


@user_errors(ConfigurationError)
def make_plan(
    space: str,
    dataset: str | None,
    overrides: Mapping[str, Any],
    max_trials: int | None,
    best_settings: BestSettings | None = None,
) -> Plan:
    """The first `max_trials` trials of `space` (a registered name or a file), on `dataset`, with `overrides`, dealt.

    A dataset of the space restricts the space to it, or selects the trials that the space has on request; any other
    replaces the space's datasets, without the settings that only those have. An override of the method restricts the
    space to that method. Any other override applies to the trials whose method and dataset have the setting; trials
    that become equal are merged. Several selection rules, "last,best_valid_id", give a trial each. The best settings of
    an earlier search replace the space's. A space with a search gives a `SearchPlan`, in which an override of a tuned
    setting fixes its value.
    """
    chosen = find_space(space)
    unused = set(overrides)
    requested = []
    for settings in _restricted(chosen, dataset, overrides):
        applied = {key: value for key, value in overrides.items() if _applies(key, settings, overrides)}
        unused -= set(applied)
        best = {} if best_settings is None else best_settings.of({**settings, **applied})
        requested.append({**settings, **best, **applied})
    if unused:
        raise _unknown_setting(min(unused))
    trials: dict[str, TrialConfig] = {}
    sizes = set()
    contents: dict[str, str] = {}
    for seed in [requested] if chosen.search is not None else deal(requested):
        before = len(trials)
        for variant in chain.from_iterable(map(_by_selection, seed)):
            config = _parse(variant, contents)
            trials.setdefault(config.trial_key, config)
        sizes.add(len(trials) - before)
        if max_trials is not None and chosen.search is None and len(trials) > max_trials:
            break
    if chosen.search is not None:
        return search_plan(chosen, chosen.search, list(trials.values()), frozenset(overrides), max_trials)
    variants = chain.from_iterable(map(_by_selection, requested))
    configs, primary = chain(trials.values(), (_parse(variant, contents) for variant in variants)), chosen.primary
    if not any(primary.metric in c.metrics and primary.attribution in c.attributions for c in configs):
        raise UserError(
            f"no trial computes {primary.metric} of {primary.attribution}, the primary analysis of space "
            f"{chosen.name!r}; name them in the settings metrics and attributions, or declare another Primary"
        )
    sizes.discard(0)
    first = dict(list(trials.items())[:max_trials])
    return Plan(chosen, first, sizes.pop() if len(sizes) == 1 else None, cut=len(first) < len(trials))


def _parse(settings: Settings, contents: dict[str, str]) -> TrialConfig:
    """The trial of flat settings. `contents` keeps the digests of files, which many trials share."""
    fields = find_dataset(str(settings["dataset"])).Options.model_fields
    if "content" not in fields or settings.get("content"):
        return resolve(settings)
    files = repr((settings["dataset"], sorted((k, v) for k, v in settings.items() if k in fields)))
    config = resolve({**settings, "content": contents.get(files, "")})
    contents[files] = config.dataset_options["content"]
    return config


def deal(trials: Iterable[Settings]) -> list[list[Settings]]:
    """The trials of each seed, in the order of the seeds, reordered within the seed.

    A seed begins with one trial of every cell (dataset, severity, method), in an order that goes through severities,
    datasets and methods at once. The other trials of each cell (strengths, learning rates, …) follow, evenly spread.
    The largest severity is first, then the smallest, then the next on either side.
    """
    seeds: dict[str, dict[tuple[str, float, str], list[list[Settings]]]] = {}
    for settings in trials:
        cells = seeds.setdefault(repr((settings.get("data_seed"), settings.get("seed"))), {})
        severity = settings.get("severity")
        # Settings are checked later, so a severity may be no number.
        number = float(severity) if isinstance(severity, int | float) else -1.0
        cell = cells.setdefault((str(settings["dataset"]), number, str(settings["method"])), [])
        last = cell[-1][0] if cell else {}
        differing = {name for name in last.keys() | settings if last.get(name) != settings.get(name)}
        if cell and differing <= SHARED_TRAINING:
            cell[-1].append(settings)
        else:
            cell.append([settings])
    return [_within_seed(cells) for cells in seeds.values()]


def _within_seed(cells: dict[tuple[str, float, str], list[list[Settings]]]) -> list[Settings]:
    datasets, severities, methods = (list(dict.fromkeys(levels)) for levels in zip(*cells, strict=True))
    severities = sorted(severities, reverse=True)
    from_both_ends = [severities[i // 2 if i % 2 == 0 else -(i // 2) - 1] for i in range(len(severities))]
    strata = diagonal(from_both_ends, datasets)
    order = [(dataset, severity, method) for (severity, dataset), method in diagonal(strata, methods)]
    places = []
    for number, name in enumerate(cell for cell in order if cell in cells):
        cell = cells[name]
        # Strata start at different settings, so that the first trials do not all have the weakest strength.
        start = strata.index((name[1], name[0])) % len(cell)
        turns = enumerate([*cell[start:], *cell[:start]])
        places += [(turn / len(cell), number, trials) for turn, trials in turns]
    return list(chain.from_iterable(trials for *_, trials in sorted(places, key=lambda place: place[:2])))


def diagonal(first: Sequence[Any], second: Sequence[Any]) -> list[tuple[Any, Any]]:
    """All pairs, in an order that steps through both sequences at once."""
    n, m = len(first), len(second)
    return [(first[(i + i // math.lcm(n, m)) % n], second[i % m]) for i in range(n * m)]


@user_errors(ConfigurationError)
def check_data(plan: Plan) -> list[str]:
    """Check the data of all trials before training; return the datasets' notes. Raises UserError with file and row."""
    notes: dict[str, None] = {}
    for config in plan.trials.values():
        check_trial_data(config)
        notes |= dict.fromkeys(check_network(config))
        dataset = find_dataset(config.dataset)
        data = dataset(dataset.Options(**config.dataset_options), config.severity, config.data_seed)
        notes |= dict.fromkeys(data.notes())
        if METHODS[config.method].needs_cues:
            check_cues(config.method, config.dataset, data.knows_cues)
    return list(notes)


def _restricted(space: Space, dataset: str | None, overrides: Mapping[str, Any]) -> Sequence[Settings]:
    """The space's trials on the requested dataset and method."""
    trials: Sequence[Settings] = space.trials
    if dataset is not None:
        find_dataset(dataset)
        dataset = full_name(dataset)
        on_dataset = [settings for settings in trials if settings["dataset"] == dataset]
        trials = on_dataset or space.on_request.get(dataset) or [_on(dataset, settings) for settings in trials]
    if "method" not in overrides:
        return trials
    method = str(overrides["method"])
    if method not in METHODS:
        raise unknown_name("method", method, METHODS, "trainables/methods/__init__.py")
    of_method = [settings for settings in trials if settings["method"] == method]
    if not of_method:
        methods = ", ".join(sorted({settings["method"] for settings in trials}))
        raise UserError(f"space {space.name!r} has no trials of method {method!r}; it has {methods}")
    return of_method


def _on(dataset: str, settings: Settings) -> Settings:
    """The settings on another dataset, without those that only the previous one has."""
    old, new = (set(find_dataset(name).Options.model_fields) for name in (settings["dataset"], dataset))
    method = METHODS.get(settings["method"])
    kept = set(TrialConfig.model_fields) | new | (set(method.Options.model_fields) if method else set())
    return {k: v for k, v in settings.items() if k in kept or k not in old} | {"dataset": dataset}


def _by_selection(settings: Settings) -> list[Settings]:
    """The settings once for each of their selection rules."""
    rules = settings.get("selection")
    return [{**settings, "selection": rule} for rule in rules.split(",")] if isinstance(rules, str) else [settings]


def _applies(key: str, settings: Settings, overrides: Mapping[str, Any]) -> bool:
    method = METHODS.get(settings["method"])
    if key == "strength" and method is not None:
        return method.has_penalty
    if key in ("mask_condition", "mask_fraction") and method is not None:
        return method.reads_masks
    dataset = find_dataset(str(overrides.get("dataset", settings["dataset"])))
    owners = (method, dataset)
    return key in TrialConfig.model_fields or any(o is not None and key in o.Options.model_fields for o in owners)


def _unknown_setting(name: str) -> UserError:
    """The error for a setting that no trial of the plan has."""
    names = TrialConfig.own_settings()
    general = ", ".join(sorted(names))
    datasets = (*DATASETS.usable().values(), *PLACES.values())
    names = names.union(*(method.Options.model_fields for method in METHODS.usable().values()))
    names = names.union(*(dataset.Options.model_fields for dataset in datasets))
    if name in names:
        return UserError(f"setting {name!r} in --set applies to no trial of this space; leave it out")
    hint = did_you_mean(name, names) or f"choose from {general}; "
    return UserError(f"unknown setting {name!r} in --set; {hint}docs/methods.md and docs/datasets.md list them")
