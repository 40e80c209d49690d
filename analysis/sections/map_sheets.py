"""Which maps the report's gallery shows: examples, means, and best and worst cases, per dataset."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.numbers import name
from analysis.sections.drawing import in_order
from analysis.sections.kept_maps import KeptMap, read_maps
from analysis.trials.trials import Primary, Trials
from records import StorageError, SweepRecords

ROWS = 4
"""Example images shown per dataset."""
AVERAGED = 8
"""Maximum number of trials per method whose maps are averaged and searched for the best and the worst case."""
_DATA_SEEDS_TRIED = 3


@dataclass(frozen=True)
class MethodMaps:
    """The maps that several trials of a method kept of images with a mask, of class 1 if there are any."""

    mean: NDArray[np.float64]
    """[H, W] mean of the maps, each scaled to a sum of 1 so that every image has the same weight."""
    mask: NDArray[np.float64]
    """[H, W] share of the images whose mask includes the pixel."""
    distractor: NDArray[np.float64]
    n_trials: int
    n_maps: int
    best: KeptMap | None
    """The one with the highest score; None if the trials kept no scores of single images."""
    worst: KeptMap | None


@dataclass(frozen=True)
class MapSheet:
    """The maps of each method, for one dataset at one severity."""

    dataset: str
    severity: float
    data_seed: float
    primary: Primary
    examples: dict[str, list[KeptMap]]
    """The same images for each method."""
    strengths: dict[str, float | None]
    """The strength of each method's trials."""
    together: dict[str, MethodMaps] = field(default_factory=dict)
    """Without the methods that have no map of an image with a mask."""


def collect_maps(trials: Trials, primary: Primary) -> tuple[list[MapSheet], list[tuple[str, str]]]:
    """One sheet per dataset at its highest severity, and what is missing with the reason.

    Each method is shown at the strength with the highest mean score over all data seeds, where it does most for its
    maps, by its trial with the lowest seed on the chosen data seed. Images of class 1 with a mask are preferred.
    """
    if trials.records is None:
        return [], [("maps", "they are kept in a sweep's storage; these trials were read from elsewhere")]
    sheets: list[MapSheet] = []
    missing = []
    for dataset, part in trials.table.groupby("dataset", sort=True):
        severity = float(part["severity"].max())
        why = f"none of {primary.attribution} on {primary.split} are stored at severity {severity:g}"
        try:
            sheet = _sheet(trials.records, part[part["severity"] == severity], primary)
        except StorageError as error:
            sheet, why = None, f"they could not be read: {error}"
        if sheet is None:
            missing.append((f"the maps of {dataset}", why))
        else:
            sheets.append(sheet)
            missing += _lacks(sheet)
    return sheets, missing


def _lacks(sheet: MapSheet) -> Iterator[tuple[str, str]]:
    """What a sheet of older trials leaves out, and why."""
    if unknown := [name(method) for method, maps in sheet.examples.items() if maps[0].region is None]:
        why = f"the trials did not keep them and they do not follow from the scores: {', '.join(unknown)}"
        yield f"the scored pixels in the maps of {sheet.dataset}", why
    if unknown := [name(method) for method, maps in sheet.together.items() if maps.best is None]:
        why = f"the trials kept no scores of single images: {', '.join(unknown)}"
        yield f"the best and the worst map of {sheet.dataset}", why


def _sheet(records: SweepRecords, cells: pd.DataFrame, primary: Primary) -> MapSheet | None:
    """The sheet of one stratum, on the data seed with the most methods among those with maps."""
    if "trial_key" not in cells:
        return None
    n_methods = cells.groupby("data_seed")["method"].nunique().sort_values(ascending=False, kind="stable")
    for data_seed in n_methods.index[:_DATA_SEEDS_TRIED]:
        kept: dict[str, list[KeptMap]] = {}
        strengths: dict[str, float | None] = {}
        for method in in_order(cells["method"][cells["data_seed"] == data_seed]):
            trial_key, strength = _trial_shown(cells[cells["method"] == method], data_seed, primary.column)
            maps = read_maps(records, trial_key, primary)
            # Trials on one data seed have the same images; a trial whose shapes differ cannot be shown beside them.
            if maps and all(_shapes(maps) == _shapes(others) for others in kept.values()):
                kept[method], strengths[method] = maps, strength
        if kept:
            first = next(iter(kept.values()))
            masked = [i for i, image in enumerate(first) if image.mask.any()]
            shown = [i for i in masked if first[i].class_number == 1] or masked or list(range(len(first)))
            return MapSheet(
                dataset=str(cells["dataset"].iloc[0]),
                severity=float(cells["severity"].iloc[0]),
                data_seed=float(data_seed),
                primary=primary,
                examples={method: [maps[i] for i in shown[:ROWS]] for method, maps in kept.items()},
                strengths=strengths,
                together=dict(_together(records, cells, primary, strengths)),
            )
    return None


def _shapes(maps: list[KeptMap]) -> list[tuple[int, ...]]:
    return [kept.map.shape for kept in maps]


def _trial_shown(rows: pd.DataFrame, data_seed: float, score: str) -> tuple[str, float | None]:
    """(trial key, strength) of a method's trial on a data seed, at its best strength or, without scores, the middle."""
    on_seed = rows[rows["data_seed"] == data_seed].sort_values("seed", kind="stable")
    levels = np.sort(on_seed["strength"].dropna().unique()) if "strength" in rows else np.empty(0)
    if not len(levels):
        return str(on_seed["trial_key"].iloc[0]), None
    strength = float(levels[(len(levels) - 1) // 2])
    compared = rows[rows["strength"].isin(levels)]
    if score in rows and compared[score].notna().any():
        means = compared.groupby("strength")[score].mean()
        strength = float(means.index[int(means.argmax())])
    return str(on_seed["trial_key"][on_seed["strength"] == strength].iloc[0]), strength


def _together(
    records: SweepRecords, cells: pd.DataFrame, primary: Primary, strengths: dict[str, float | None]
) -> Iterator[tuple[str, MethodMaps]]:
    """Each method's maps over its first trials at the strength shown, one per data seed."""
    for method, strength in strengths.items():
        rows = cells[cells["method"] == method]
        if strength is not None:
            rows = rows[rows["strength"] == strength]
        rows = rows.sort_values(["data_seed", "seed"], kind="stable").drop_duplicates("data_seed").head(AVERAGED)
        trials = [maps for key in rows["trial_key"] if (maps := read_maps(records, str(key), primary))]
        trials = [maps for maps in trials if maps[0].map.shape == trials[0][0].map.shape]
        usable = [kept for maps in trials for kept in maps if kept.mask.any() and kept.map.any()]
        if usable:
            shown = [kept for kept in usable if kept.class_number == 1] or usable
            scored = [kept for kept in shown if kept.score is not None]
            yield (
                method,
                MethodMaps(
                    mean=np.mean([kept.map / kept.map.sum() for kept in shown], axis=0),
                    mask=np.mean([kept.mask for kept in shown], axis=0),
                    distractor=np.mean([kept.distractor for kept in shown], axis=0),
                    n_trials=len(trials),
                    n_maps=len(shown),
                    best=max(scored, key=lambda kept: kept.score or 0.0, default=None),
                    worst=min(scored, key=lambda kept: kept.score or 0.0, default=None),
                ),
            )
