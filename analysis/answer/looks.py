"""The looks of a sweep that runs until it is answered, and the level of each."""

from typing import Any

from analysis.stats.alpha_spending import nominal_level, spent
from analysis.stats.replicated import MINIMUM_CLUSTERS
from analysis.trials.trials import Trials

BLOCK = 2
"""Data seeds between two looks."""
HOPELESS = 0.1
"""Conditional power below which a comparison counts as one that the plan cannot decide."""
ENDS = {
    "answered": "every declared comparison is decided",
    "futile": "the rest of the plan would hardly decide what is undecided",
    "complete": "the plan is done",
}
"""Why a sweep ends, in words."""
Shares = tuple[float, ...]


def planned_looks(data_seeds: int) -> tuple[int, ...]:
    """The number of data seeds at each look; a plan of fewer than `MINIMUM_CLUSTERS` has none."""
    looks = range(MINIMUM_CLUSTERS, data_seeds, BLOCK)
    return (*looks, data_seeds) if data_seeds >= MINIMUM_CLUSTERS else ()


def _data_seeds(trials: Trials) -> tuple[int, ...]:
    """The data seeds at each look so far. More than at the latest one, as in a report on the way, are one more look."""
    if trials.looks is None:
        return ()
    planned, taken = trials.looks.planned, trials.looks.taken
    now = min(int(trials.table.groupby("dataset")["data_seed"].nunique().max()), planned[-1])
    return (*planned[:taken], *([now] if now > (0, *planned)[taken] else []))


def shares_of(trials: Trials) -> Shares:
    """The share of the planned data seeds at each look so far; empty for a sweep without looks."""
    return tuple(n / trials.looks.planned[-1] for n in _data_seeds(trials)) if trials.looks else ()


def level_at(shares: Shares, alpha: float) -> float:
    """The level at which the last of these looks tests what all looks together test at level `alpha`."""
    return nominal_level(shares, alpha) if shares else alpha


def look_of(trials: Trials) -> dict[str, Any] | None:
    """The look in numbers, for report.json; None for a sweep without looks."""
    if trials.looks is None:
        return None
    shares, looks = shares_of(trials), trials.looks
    numbers = {"look": len(shares), "data_seeds": _data_seeds(trials), "planned_data_seeds": looks.planned}
    return {**numbers, "alpha_spent": spent(shares[-1]), "level": nominal_level(shares), "end": looks.end}


def look_note(trials: Trials) -> str | None:
    """Which look the report is, and how its intervals allow for that; None for a sweep without looks."""
    if (look := look_of(trials)) is None:
        return None
    end = "has not ended" if look["end"] is None else f"ended there: {ENDS[look['end']]}"
    return (
        f"This is look {look['look']}, with {look['data_seeds'][-1]} of {look['planned_data_seeds'][-1]} data seeds. "
        f"The sweep {end}. The intervals of the comparisons, their words and the tests of signs hold over all looks "
        f"together: a 95 % interval is taken at {100 * (1 - look['level']):.3g} % (Lan & DeMets 1983, O’Brien-Fleming "
        "type). The other intervals hold for a single look."
    )
