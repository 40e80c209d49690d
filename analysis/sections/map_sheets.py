"""Sheets of attribution maps for the report's gallery, read from a sweep's storage."""

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from analysis.numbers import name
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
_REPRODUCED = 0.02
"""Largest mean difference from the stored IoU at which pixels chosen anew are taken for those that were scored."""
MEASURED = {complement: metric for metric, complement in COMPLEMENTS.items()}
"""The metric as records have it, of each that the analysis replaces by its complement."""

Stored = dict[str, tuple[dict[str, np.ndarray], float | None]]
"""Per method, a trial's arrays and its strength."""


@dataclass(frozen=True)
class Case:
    """One image of one trial with the scored pixels of its map, and the map's score."""

    image: NDArray[np.float64]
    mask: NDArray[np.bool_]
    distractor: NDArray[np.bool_]
    region: NDArray[np.bool_] | None
    score: float
    """The primary's metric, as stored; higher is better."""
    label: str
    answer: str


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
    best: Case | None
    """The image with the highest score; None where the trials kept no scores of single images."""
    worst: Case | None


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
    regions: dict[str, NDArray[np.bool_] | None]
    """Per method [rows, H, W] the pixels of the map that IoU compares with the mask; None if they are not known."""
    strengths: dict[str, float | None]
    """Per method, the strength of the trial shown."""
    metric: str = "iou"
    """The metric by which the best and the worst maps are chosen."""
    labels: Sequence[str] = ()
    """The class of each row."""
    answers: dict[str, Sequence[str]] = field(default_factory=dict)
    """Per method, what its model predicts for each row, as `answers_of` words it."""
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
            missing += _lacks(sheet)
    return sheets, missing


def _lacks(sheet: MapSheet) -> Iterator[tuple[str, str]]:
    """What a sheet of older trials leaves out, and why."""
    if unknown := [name(method) for method, region in sheet.regions.items() if region is None]:
        why = f"the trials did not keep them, and their scores do not tell them: {', '.join(unknown)}"
        yield f"the scored pixels in the maps of {sheet.dataset}", why
    if unknown := [name(method) for method, maps in sheet.together.items() if maps.best is None]:
        why = f"the trials kept no scores of single images: {', '.join(unknown)}"
        yield f"the best and the worst map of {sheet.dataset}", why


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
    maps, masks, distractors, labels, scores = (
        np.concatenate([arrays[name] for arrays in trials])
        for name in ("map", "masks", "distractors", "labels", "scores")
    )
    places = [(arrays, at) for arrays in trials for at in range(len(arrays["map"]))]
    values = np.nan_to_num(maps.astype(np.float64))
    usable = masks.astype(bool).any(axis=(1, 2)) & (values.sum(axis=(1, 2)) > 0)
    rows = np.flatnonzero(usable & (labels == 1))
    if not len(rows):
        rows = np.flatnonzero(usable)
    if not len(rows):
        return None
    values, masks, distractors = values[rows], masks[rows].astype(bool), distractors[rows].astype(bool)
    scored = rows[~np.isnan(scores[rows])]
    return MethodMaps(
        mean=(values / values.sum(axis=(1, 2), keepdims=True)).mean(axis=0),
        mask=masks.mean(axis=0),
        distractor=distractors.mean(axis=0),
        n_trials=len(trials),
        n_maps=len(rows),
        best=_case(*places[scored[scores[scored].argmax()]]) if len(scored) else None,
        worst=_case(*places[scored[scores[scored].argmin()]]) if len(scored) else None,
    )


def _case(arrays: dict[str, np.ndarray], at: int) -> Case:
    return Case(
        image=displayed(arrays["images"][[at]])[0],
        mask=arrays["masks"][at].astype(bool),
        distractor=arrays["distractors"][at].astype(bool),
        region=arrays["region"][at] if "region" in arrays else None,
        score=float(arrays["scores"][at]),
        label=class_words(arrays, arrays["labels"][[at]])[0],
        answer=answers_of(arrays)[at],
    )


def class_words(arrays: dict[str, np.ndarray], classes: NDArray[np.integer]) -> list[str]:
    """The names of these classes; their numbers where the trial has no names."""
    names = arrays.get("class_names")
    return [str(one if names is None else names[one]) for one in classes.tolist()]


def answers_of(arrays: dict[str, np.ndarray]) -> list[str]:
    """What the model predicts for each kept image, and whether it is right; of older trials the latter alone."""
    n = len(arrays["images"])
    if "correct" not in arrays:
        return [""] * n
    right = arrays["correct"][:n].tolist()
    if "predicted" not in arrays:
        return ["✓ right" if one else "✗ wrong" for one in right]
    words = class_words(arrays, arrays["predicted"][:n])
    return [f"{'✓' if one else '✗'} predicted {word}" for word, one in zip(words, right, strict=True)]


def reproduced(
    maps: NDArray[np.float64], masks: NDArray[np.bool_], iou: NDArray[np.float64]
) -> NDArray[np.bool_] | None:
    """[images, H, W] the pixels that these IoUs were computed from, of trials that did not keep them.

    Those trials scored a map either as it is or, if it is made of gradients, after a blur of one pixel. The pixels are
    those of the variant that reproduces the IoUs; None if neither does.
    """
    known = ~np.isnan(iou)
    if not known.any():
        return None
    blurred = np.asarray(gaussian_filter(maps, sigma=(0, 1, 1), mode="constant", truncate=3.5))
    regions = [strongest(variant, masks.sum(axis=(1, 2))) for variant in (maps, blurred)]
    found = [(r & masks).sum(axis=(1, 2)) / np.maximum((r | masks).sum(axis=(1, 2)), 1) for r in regions]
    errors = [np.abs(values - iou)[known].mean() for values in found]
    return regions[int(np.argmin(errors))] if min(errors) <= _REPRODUCED else None


def strongest(maps: NDArray[np.float64], n: NDArray[np.intp]) -> NDArray[np.bool_]:
    """[images, H, W] the n strongest pixels of each map, by the rule of IoU: without ties at the limit, never zeros."""
    ordered = np.sort(maps.reshape(len(maps), -1), axis=1)[:, ::-1]
    next_one = np.take_along_axis(ordered, np.minimum(n, ordered.shape[1] - 1)[:, None], axis=1)
    return np.asarray((maps > next_one[:, :, None]) & (maps > 0))


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
        `labels [N]`, `images [N, C, H, W]`, `masks`, `distractors` and `map` [N, H, W], and `scores [N]` of the
        primary's metric (higher is better; NaN where there are none). Where they are known, also
        `region [N, H, W]`, the pixels of the maps that IoU compares with the mask; of all M >= N scored images
        `index [M]`, `predicted [M]` and `correct [M]`; and `class_names [K]`.
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
        "region": f"{split}.region.{attribution}",
        "iou": f"{split}.scored.iou.{attribution}",
        "class_names": "class_names",
        "index": f"{split}.scored.index",
        "predicted": f"{split}.scored.predicted",
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
    n = len(arrays["map"])
    iou, scores = (arrays.pop(name, np.full(n, np.nan))[:n].astype(np.float64) for name in ("iou", "scores"))
    arrays["scores"] = scores if metric == primary.metric else 1 - scores
    if "region" not in arrays:
        maps = np.nan_to_num(arrays["map"].astype(np.float64))
        region = reproduced(maps, arrays["masks"].astype(bool), iou)
        arrays |= {} if region is None else {"region": region}
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
        regions={m: arrays["region"][rows] if "region" in arrays else None for m, (arrays, _) in stored.items()},
        strengths={m: strength for m, (_, strength) in stored.items()},
        metric=primary.metric,
        labels=class_words(first, first["labels"][rows]),
        answers={m: [answers_of(arrays)[row] for row in rows] for m, (arrays, _) in stored.items()},
        together={m: maps for m, maps in together.items() if m in stored},
    )
