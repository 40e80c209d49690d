"""Attribution maps of example images, read from a sweep's storage for the report's gallery."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.primary import Primary
from analysis.trials import Trials
from records import StorageError, SweepRecords

FILE = "maps.npz"
ROWS = 4
"""Example images shown per dataset."""
_DATA_SEEDS_TRIED = 3


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


def collect_maps(trials: Trials, primary: Primary) -> tuple[list[MapSheet], list[str]]:
    """One sheet per dataset at its highest severity, and a sentence for each dataset without one.

    Of a method's trials on the chosen data seed, the one with the middle strength and the lowest seed is
    shown: never one picked for its map or its performance. Images are positive ones with a mask where there
    are any.
    """
    if trials.records is None:
        return [], ["Maps lie in a sweep's storage; these trials were read from elsewhere, so none are shown."]
    sheets, missing = [], []
    for dataset, part in trials.table.groupby("dataset", sort=True):
        severity = float(part["severity"].max())
        try:
            sheet = _sheet(trials.records, part[part["severity"] == severity], primary)
        except StorageError as error:
            missing.append(f"The maps of {dataset} could not be read: {error}.")
            continue
        if sheet is None:
            missing.append(
                f"No maps of {primary.attribution} on {primary.split} are stored for {dataset} at severity "
                f"{severity:g}."
            )
        else:
            sheets.append(sheet)
    return sheets, missing


def _sheet(records: SweepRecords, part: pd.DataFrame, primary: Primary) -> MapSheet | None:
    if "trial_key" not in part:
        return None
    by_seed = part.groupby("data_seed")["method"].nunique().reset_index(name="methods")
    order = by_seed.sort_values(["methods", "data_seed"], ascending=[False, True])["data_seed"]
    for data_seed in order.head(_DATA_SEEDS_TRIED):
        found: dict[str, tuple[dict[str, np.ndarray], float | None]] = {}
        for method, trial_key, strength in _shown(part[part["data_seed"] == data_seed]):
            arrays = _read(records, trial_key, primary)
            if arrays is not None:
                found[method] = (arrays, strength)
        if found:
            return _assemble(part, float(data_seed), primary, found)
    return None


def _shown(part: pd.DataFrame) -> Iterator[tuple[str, str, float | None]]:
    """(method, trial key, strength) of each method's trial with the middle strength and the lowest seed."""
    for method in sorted(part["method"].unique(), key=lambda m: (m != "baseline", m)):
        rows = part[part["method"] == method].sort_values("seed", kind="stable")
        strength = None
        if "strength" in rows and rows["strength"].notna().any():
            levels = np.sort(rows["strength"].dropna().unique())
            strength = float(levels[(len(levels) - 1) // 2])
            rows = rows[rows["strength"] == strength]
        yield str(method), str(rows["trial_key"].iloc[0]), strength


def _read(records: SweepRecords, trial_key: str, primary: Primary) -> dict[str, np.ndarray] | None:
    """The arrays a sheet needs, or None where the trial has no such maps or they cannot be read."""
    data = records.read_artifact(trial_key, FILE)
    if data is None:
        return None
    names = {
        "labels": "labels",
        "images": f"{primary.split}.images",
        "masks": f"{primary.split}.masks",
        "map": f"{primary.split}.map.{primary.attribution}",
    }
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {short: np.asarray(stored[name]) for short, name in names.items()}
            distractors = f"{primary.split}.distractors"
            arrays["distractors"] = (
                np.asarray(stored[distractors]) if distractors in stored else np.zeros_like(arrays["masks"])
            )
    except (KeyError, ValueError, OSError, zipfile.BadZipFile):
        return None
    return arrays


def _assemble(
    part: pd.DataFrame,
    data_seed: float,
    primary: Primary,
    found: dict[str, tuple[dict[str, np.ndarray], float | None]],
) -> MapSheet:
    first = next(iter(found.values()))[0]
    # Trials of one data seed show the same images; one whose shapes differ cannot stand beside the others.
    found = {m: pair for m, pair in found.items() if pair[0]["map"].shape == first["map"].shape}
    masks = first["masks"].astype(bool)
    masked = masks.any(axis=(1, 2))
    positive = np.flatnonzero(masked & (first["labels"] == 1))
    rows = next(some for some in (positive, np.flatnonzero(masked), np.arange(len(masks))) if len(some))[:ROWS]
    images = np.nan_to_num(first["images"][rows].astype(np.float64)).clip(0, 1)
    colour = images.shape[1] == 3
    return MapSheet(
        dataset=str(part["dataset"].iloc[0]),
        severity=float(part["severity"].iloc[0]),
        data_seed=data_seed,
        split=primary.split,
        attribution=primary.attribution,
        images=images.transpose(0, 2, 3, 1) if colour else images.mean(axis=1),
        masks=masks[rows],
        distractors=first["distractors"][rows].astype(bool),
        maps={m: np.nan_to_num(arrays["map"][rows].astype(np.float64)) for m, (arrays, _) in found.items()},
        strengths={m: strength for m, (_, strength) in found.items()},
    )
