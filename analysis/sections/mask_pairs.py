"""Pairs of a trial under a mask control and the trial under right masks that is otherwise the same."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.numbers import count
from records import columns

WRONG = {"random": "random masks", "shifted": "shifted masks", "other": "another image’s masks"}
NO_MASKS, BALANCED, ANY_WRONG = "no masks (baseline)", "balanced data (severity 0)", "wrong masks, all kinds"
CONDITION, FRACTION, AT_TEST = columns.CONTROLS
DILATION = columns.hyperparameter("mask_dilation")
CELL = ["control", "dataset", "severity", "method"]
RIGHT = " under right masks"
"""Suffix of the columns of a pair's trial under right masks."""


def paired(right: pd.DataFrame, controls: pd.DataFrame, scores: Sequence[str]) -> tuple[pd.DataFrame, int]:
    """A row per pair of a control and a trial under right masks, and the number of controls without such a trial.

    The columns are those of `CELL`, the data seed, and each score of the control and, with the suffix `RIGHT`, of the
    other trial.
    """
    kept = [*columns.settings_in(right), *scores]
    right, controls = right[kept], controls[kept]
    named = controls.assign(control=[control_name(settings) for settings in controls.to_dict("records")])
    of_masks = _pairs(named, right, columns.CONTROLS, scores)
    changed = stacked([of_masks, _dilated(right, scores)])
    trials = right.loc[changed["twin"].unique()]
    pairs = stacked([_no_masks(trials, right, scores), changed, _balanced(trials, right, scores)])
    return pairs, len(controls) - len(of_masks)


def control_name(settings: Mapping[Any, Any]) -> str:
    """A control as words, from its settings: "shifted masks, on 25 % of the images"."""
    condition, fraction, at_test = (settings.get(column, default) for column, default in columns.CONTROLS.items())
    parts = []
    if condition != columns.CONTROLS[CONDITION]:
        parts.append({**WRONG, "ones": "all-ones masks"}.get(condition, f"{condition} masks"))
    if fraction != columns.CONTROLS[FRACTION]:
        parts.append(f"{'' if parts else 'masks '}on {100 * fraction:.3g} % of the images")
    if at_test:
        parts.append("masks at test time")
    return ", ".join(parts)


def place_of(control: str) -> tuple[int, str]:
    """Sort key of controls: no masks, wrong ones, the others by name, balanced data."""
    first = (NO_MASKS, *WRONG.values(), ANY_WRONG)
    return (first.index(control) if control in first else len(first) + (control == BALANCED)), control


def _pairs(first: pd.DataFrame, right: pd.DataFrame, apart: Iterable[str], scores: Sequence[str]) -> pd.DataFrame:
    """Pairs of trials of `first` and `right` that agree in all settings but `apart`; `twin` is the index in `right`."""
    shared = [c for c in right if c in first and c not in (*scores, *apart)]
    changed = first[[*CELL, "data_seed", *scores]].assign(like=_like(first[shared]))
    twins = right[list(scores)].add_suffix(RIGHT).assign(like=_like(right[shared]), twin=right.index)
    return changed.merge(twins, on="like").drop(columns="like")


def _like(settings: pd.DataFrame) -> list[str]:
    """The settings of each trial as text, in which lists and missing values can be compared."""
    exact = settings.assign(**{seed: settings[seed].astype(float) for seed in ("seed", "data_seed")})
    known = exact.astype(object).where(exact.notna(), "")
    return ["\x1f".join(map(str, row)) for row in known.itertuples(index=False, name=None)]


def stacked(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The concatenated parts, without empty ones."""
    with_rows = [part for part in parts if len(part)]
    return pd.concat(with_rows, ignore_index=True) if with_rows else parts[0]


def _dilated(right: pd.DataFrame, scores: Sequence[str]) -> pd.DataFrame:
    """Pairs of trials with and without dilated masks."""
    pixels = pd.to_numeric(right[DILATION], errors="coerce") if DILATION in right else pd.Series(0, index=right.index)
    labels = [f"masks dilated by {count(int(p), 'pixel')}" for p in pixels[pixels > 0]]
    return _pairs(right[pixels > 0].assign(control=labels), right[pixels == 0], [DILATION], scores)


def _no_masks(trials: pd.DataFrame, right: pd.DataFrame, scores: Sequence[str]) -> pd.DataFrame:
    """Each of `trials` with the baseline's mean on the same images."""
    place = ["dataset", "severity", "data_seed"]
    baseline = right[right["method"] == "baseline"].groupby(place)[list(scores)].mean().reset_index()
    others = trials[trials["method"] != "baseline"].assign(control=NO_MASKS)
    others = others[[*CELL, "data_seed", *scores]].rename(columns={c: c + RIGHT for c in scores})
    return others.merge(baseline, on=place)


def _balanced(trials: pd.DataFrame, right: pd.DataFrame, scores: Sequence[str]) -> pd.DataFrame:
    """Each of `trials` with the trial at severity 0 that otherwise agrees with it."""
    balanced, shifted = right[right["severity"] == 0], trials[trials["severity"] > 0]
    pairs = _pairs(shifted.assign(control=BALANCED), balanced, ["severity"], scores)
    return pairs.rename(columns={c: c + RIGHT for c in scores} | {c + RIGHT: c for c in scores})
