"""The settings that a plan does not vary, by which the analysis tells its records from those of other commands."""

from collections.abc import Iterable, Sequence
from typing import Any

from records import columns
from search_spaces import Settings
from trainables import TrialConfig
from trainables.core.config import DETECTED

DESIGN = frozenset(
    (
        *("dataset", "severity", "method", "strength", "selection", *columns.CONTROLS),
        *map(columns.setting, ("mask_dilation", columns.PLUGINS)),
        # Where the images lie; the digest of their content tells them apart.
        columns.setting("root"),
    )
)
"""Columns that may take several values in any sweep: the analysis compares them, or tells them apart by itself."""


def fixed_settings(space: Sequence[Settings], trials: Iterable[TrialConfig]) -> dict[str, dict[str, Any]]:
    """By dataset, the columns of settings that neither the space nor the plan varies, and their values.

    None stands for a setting that is left out of records at its default.

    Args:
        space: the trials of the space, before overrides. A setting that it varies is free, whatever value a command
            gives it.
        trials: the plan's.
    """
    free = DESIGN | _varied(space)
    fixed: dict[str, dict[str, Any]] = {}
    # Whatever else differs between trials goes with these.
    alike = {(c.dataset, c.severity, c.method, c.preset, c.model): c for c in trials}
    for config in alike.values():
        values = dict.fromkeys(map(columns.setting, (*config.own_settings(), *DETECTED))) | config.columns()
        own = fixed.setdefault(config.dataset, values)
        free |= {name for name, value in values.items() if own.setdefault(name, value) != value}
    return {
        dataset: {name: own[name] for name in columns.ordered(set(columns.configuration_in(own)) - free)}
        for dataset, own in fixed.items()
    }


def _varied(trials: Sequence[Settings]) -> set[str]:
    """The columns of settings that differ between some trials of one dataset and method."""
    varied: set[str] = set()
    first: dict[tuple[object, object], Settings] = {}
    for settings in trials:
        other = first.setdefault((settings["dataset"], settings["method"]), settings)
        if other != settings:
            varied |= {name for name in other.keys() | settings if other.get(name) != settings.get(name)}
    return set(map(columns.setting, varied))
