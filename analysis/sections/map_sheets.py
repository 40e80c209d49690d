"""Sheets of attribution maps for the report's gallery, read from a sweep's storage."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from analysis.sections.drawing import in_order
from analysis.trials.scores import COMPLEMENTS
from analysis.trials.trials import Primary, Trials
from records import StorageError, SweepRecords

FILE = "maps.npz"
ROWS = 4
"""Example images shown per dataset."""
AVERAGED = 8
"""Maximum number of trials per method whose maps are averaged and searched for the best and the worst case."""
_DATA_SEEDS_TRIED = 3
MEASURED = {complement: metric for metric, complement in COMPLEMENTS.items()}
"""The metric as records have it, of each that the analysis replaces by its complement."""

Stored = dict[str, tuple[dict[str, np.ndarray], float | None]]
"""Per method, a trial's arrays and its strength."""


@dataclass(frozen=True)
class Case:
    """One image of one trial with its map and how well the two overlap."""

    image: NDArray[np.float64]
    mask: NDArray[np.bool_]
    distractor: NDArray[np.bool_]
    map: NDArray[np.float64]
    overlap: float


@dataclass(frozen=True)
class MethodMaps:
    """All stored maps of some of a method's trials, drawn together."""

    mean: NDArray[np.float64]
    """[H, W] mean of the maps, each scaled to a sum of 1, so that every image counts the same."""
    mask: NDArray[np.float64]
    """[H, W] share of the images whose mask holds a pixel."""
    distractor: NDArray[np.float64]
    n_trials: int
    n_maps: int
    best: Case
    """The largest overlap of map and mask."""
    worst: Case


@dataclass(frozen=True)
class MapSheet:
    """The same images as seen by each method, for one dataset at one severity."""

    dataset: str
    severity: float
    data_seed: float
    split: str
    attribution: str
    images: NDArray[np.float64]
    """[rows, H, W] or [rows, H, W, 3], in 0..1."""
    masks: NDArray[np.bool_]
    """[rows, H, W] the region of interest."""
    distractors: NDArray[np.bool_]
    """[rows, H, W] the spurious cue; all False where the dataset does not know it."""
    maps: dict[str, NDArray[np.float64]]
    """Per method [rows, H, W], not negative."""
    strengths: dict[str, float | None]
    """Per method, the strength of the trial shown."""
    together: dict[str, MethodMaps] = field(default_factory=dict)
    """Per method; without an entry where no map has a mask."""


def collect_maps(trials: Trials, primary: Primary) -> tuple[list[MapSheet], list[tuple[str, str]]]:
    """One sheet per dataset at its highest severity; for each dataset without one what is missing, and why.

    Of a method's trials on the chosen data seed, the one with the lowest seed is shown, at the strength that the score
    of the primary is highest at, on average over all seeds: where the method does most for its maps. Images are
    positive ones with a mask where there are any.
    """
    if trials.records is None:
        return [], [("maps", "they are kept in a sweep's storage; these trials were read from elsewhere")]
    sheets: list[MapSheet] = []
    missing = []
    for dataset, part in trials.table.groupby("dataset", sort=True):
        severity = float(part["severity"].max())
        try:
            sheet = _sheet(trials.records, part[part["severity"] == severity], primary)
        except StorageError as error:
            missing.append((f"the maps of {dataset}", f"they could not be read: {error}"))
            continue
        if sheet is None:
            why = f"none of {primary.attribution} on {primary.split} are stored at severity {severity:g}"
            missing.append((f"the maps of {dataset}", why))
        else:
            sheets.append(sheet)
    return sheets, missing


def _sheet(records: SweepRecords, part: pd.DataFrame, primary: Primary) -> MapSheet | None:
    if "trial_key" not in part:
        return None
    by_seed = part.groupby("data_seed")["method"].nunique().reset_index(name="methods")
    order = by_seed.sort_values(["methods", "data_seed"], ascending=[False, True])["data_seed"]
    for data_seed in order.head(_DATA_SEEDS_TRIED):
        stored: Stored = {}
        for method, trial_key, strength in _shown(part, data_seed, primary.column):
            arrays = read_maps(records, trial_key, primary)
            if arrays is not None:
                stored[method] = (arrays, strength)
        if stored:
            return _assemble(part, float(data_seed), primary, stored, _together(records, part, primary, stored))
    return None


def _together(
    records: SweepRecords,
    part: pd.DataFrame,
    primary: Primary,
    stored: Stored,
) -> dict[str, MethodMaps]:
    """Each method's maps over its first trials with the strength shown, one per data seed."""
    result = {}
    for method, (_, strength) in stored.items():
        rows = part[part["method"] == method]
        if strength is not None:
            rows = rows[rows["strength"] == strength]
        rows = rows.sort_values(["data_seed", "seed"], kind="stable").drop_duplicates("data_seed").head(AVERAGED)
        read = [arrays for key in rows["trial_key"] if (arrays := read_maps(records, str(key), primary)) is not None]
        one_size = [arrays for arrays in read if arrays["map"].shape[1:] == read[0]["map"].shape[1:]]
        summary = _summary(one_size)
        if summary is not None:
            result[method] = summary
    return result


def _summary(trials: list[dict[str, np.ndarray]]) -> MethodMaps | None:
    """Mean, best and worst of all maps of images with a mask, of class 1 where there are any."""
    if not trials:
        return None
    maps, masks, distractors, labels = (
        np.concatenate([arrays[name] for arrays in trials]) for name in ("map", "masks", "distractors", "labels")
    )
    images = np.concatenate([displayed(arrays["images"]) for arrays in trials])
    values = np.nan_to_num(maps.astype(np.float64))
    usable = masks.astype(bool).any(axis=(1, 2)) & (values.sum(axis=(1, 2)) > 0)
    rows = np.flatnonzero(usable & (labels == 1))
    if not len(rows):
        rows = np.flatnonzero(usable)
    if not len(rows):
        return None
    values, masks, distractors = values[rows], masks[rows].astype(bool), distractors[rows].astype(bool)
    overlap = overlaps(smoothed(values), masks)

    def case(at: int) -> Case:
        return Case(images[rows[at]], masks[at], distractors[at], values[at], float(overlap[at]))

    return MethodMaps(
        mean=(values / values.sum(axis=(1, 2), keepdims=True)).mean(axis=0),
        mask=masks.mean(axis=0),
        distractor=distractors.mean(axis=0),
        n_trials=len(trials),
        n_maps=len(rows),
        best=case(int(overlap.argmax())),
        worst=case(int(overlap.argmin())),
    )


def overlaps(maps: NDArray[np.float64], masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[images] IoU of each mask with the map's strongest pixels, as many as the mask has."""
    chosen = strongest(maps, masks.sum(axis=(1, 2)))
    return np.asarray((chosen & masks).sum(axis=(1, 2)) / np.maximum((chosen | masks).sum(axis=(1, 2)), 1))


def strongest(maps: NDArray[np.float64], n: NDArray[np.intp]) -> NDArray[np.bool_]:
    """[images, H, W] where each map has its n strongest pixels: ties with the last count too, pixels of zero never."""
    ordered = np.sort(maps.reshape(len(maps), -1), axis=1)[:, ::-1]
    level = np.take_along_axis(ordered, np.maximum(n - 1, 0)[:, None], axis=1)
    return np.asarray((maps >= level[:, :, None]) & (maps > 0))


def smoothed(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maps blurred by one pixel, as maps of gradients are before they are scored."""
    return np.asarray(gaussian_filter(maps, sigma=(0, 1, 1), mode="constant", truncate=3.5))


def displayed(images: np.ndarray) -> NDArray[np.float64]:
    """[N, H, W] or [N, H, W, 3] in 0..1 from [N, C, H, W]."""
    shown = np.nan_to_num(images.astype(np.float64)).clip(0, 1)
    return shown.transpose(0, 2, 3, 1) if shown.shape[1] == 3 else shown.mean(axis=1)


def _shown(part: pd.DataFrame, data_seed: float, score: str) -> Iterator[tuple[str, str, float | None]]:
    """(method, trial key, strength) of each method's trial of a data seed with the lowest seed.

    Of several strengths the one with the largest mean score over all data seeds; without a score, the middle one.
    """
    on_seed = part[part["data_seed"] == data_seed]
    for method in in_order(on_seed["method"]):
        rows = on_seed[on_seed["method"] == method].sort_values("seed", kind="stable")
        strength = None
        if "strength" in rows and rows["strength"].notna().any():
            levels = np.sort(rows["strength"].dropna().unique())
            strength = float(levels[(len(levels) - 1) // 2])
            own = part[(part["method"] == method) & part["strength"].isin(levels)]
            if score in own and own[score].notna().any():
                means = own.groupby("strength")[score].mean()
                strength = float(means.index[int(means.argmax())])
            rows = rows[rows["strength"] == strength]
        yield str(method), str(rows["trial_key"].iloc[0]), strength


def read_maps(records: SweepRecords, trial_key: str, primary: Primary) -> dict[str, np.ndarray] | None:
    """A trial's kept images and the primary's maps of them, or None where it has none that can be read.

    Returns:
        `labels [N]`, `images [N, C, H, W]`, `masks`, `distractors` and `map` [N, H, W]; and, where the trial kept
        them, of all M >= N scored images `index [M]`, `correct [M]` and `scores [M]` of the primary's metric, of which
        higher is better.
    """
    data = records.read_artifact(trial_key, FILE)
    if data is None:
        return None
    split, attribution, metric = primary.split, primary.attribution, MEASURED.get(primary.metric, primary.metric)
    names = {
        "images": f"{split}.images",
        "masks": f"{split}.masks",
        "map": f"{split}.map.{attribution}",
    }
    optional = {
        "distractors": f"{split}.distractors",
        "index": f"{split}.scored.index",
        "correct": f"{split}.scored.correct",
        "scores": f"{split}.scored.{metric}.{attribution}",
    }
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {short: np.asarray(file[name]) for short, name in names.items()}
            labels = f"{split}.scored.labels"
            arrays["labels"] = np.asarray(file[labels if labels in file else "labels"])[: len(arrays["images"])]
            arrays |= {short: np.asarray(file[name]) for short, name in optional.items() if name in file}
    except (KeyError, ValueError, OSError, zipfile.BadZipFile):
        return None
    if "scores" in arrays and metric != primary.metric:
        arrays["scores"] = 1 - arrays["scores"]
    return {"distractors": np.zeros_like(arrays["masks"]), **arrays}


def _assemble(
    part: pd.DataFrame,
    data_seed: float,
    primary: Primary,
    stored: Stored,
    together: dict[str, MethodMaps],
) -> MapSheet:
    first = next(iter(stored.values()))[0]
    # Trials of one data seed show the same images; one whose shapes differ cannot stand beside the others.
    stored = {m: pair for m, pair in stored.items() if pair[0]["map"].shape == first["map"].shape}
    masks = first["masks"].astype(bool)
    masked = masks.any(axis=(1, 2))
    positive = np.flatnonzero(masked & (first["labels"] == 1))
    rows = next(some for some in (positive, np.flatnonzero(masked), np.arange(len(masks))) if len(some))[:ROWS]
    return MapSheet(
        dataset=str(part["dataset"].iloc[0]),
        severity=float(part["severity"].iloc[0]),
        data_seed=data_seed,
        split=primary.split,
        attribution=primary.attribution,
        images=displayed(first["images"][rows]),
        masks=masks[rows],
        distractors=first["distractors"][rows].astype(bool),
        maps={m: np.nan_to_num(arrays["map"][rows].astype(np.float64)) for m, (arrays, _) in stored.items()},
        strengths={m: strength for m, (_, strength) in stored.items()},
        together={m: maps for m, maps in together.items() if m in stored},
    )
