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
    """A row per pair of a control and a trial under right masks (`twins`), and the number of controls without one."""
    kept = [*columns.settings_in(right), *scores]
    right, controls = right[kept], controls[kept]
    named = controls.assign(control=[control_name(settings) for settings in controls.to_dict("records")])
    of_masks = twins(named, right, columns.CONTROLS, scores)
    pixels = pd.to_numeric(right[DILATION], errors="coerce") if DILATION in right else pd.Series(0, index=right.index)
    coarser = right[pixels > 0].assign(
        control=[f"masks dilated by {count(int(p), 'pixel')}" for p in pixels[pixels > 0]]
    )
    changed = stacked([of_masks, twins(coarser, right[pixels == 0], [DILATION], scores)])
    trials = right.loc[changed["twin"].unique()]
    # Without masks: the baseline's mean on the same images.
    place, of_right = ["dataset", "severity", "data_seed"], {score: score + RIGHT for score in scores}
    baseline = right[right["method"] == "baseline"].groupby(place)[list(scores)].mean().reset_index()
    masked = trials[trials["method"] != "baseline"].assign(control=NO_MASKS)[[*CELL, "data_seed", *scores]]
    no_masks = masked.rename(columns=of_right).merge(baseline, on=place)
    # Balanced data: the trial at severity 0.
    shifted = trials[trials["severity"] > 0].assign(control=BALANCED)
    balanced = twins(shifted, right[right["severity"] == 0], ["severity"], scores)
    balanced = balanced.rename(columns=of_right | {other: score for score, other in of_right.items()})
    return stacked([no_masks, changed, balanced]), len(controls) - len(of_masks)


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


def twins(first: pd.DataFrame, right: pd.DataFrame, apart: Iterable[str], scores: Sequence[str]) -> pd.DataFrame:
    """Pairs of trials of `first` and `right` that agree in all settings but `apart`.

    The columns are those of `CELL`, the data seed, the scores of the trial of `first`, those of the trial of `right`
    with the suffix `RIGHT`, and the latter's index, `twin`.
    """
    shared = [c for c in right if c in first and c not in (*scores, *apart)]

    def like(trials: pd.DataFrame) -> list[str]:
        """The settings as text, in which lists and missing values can be compared."""
        exact = trials[shared].astype({"seed": float, "data_seed": float})
        return ["\x1f".join(map(str, row)) for row in exact.astype(object).where(exact.notna(), "").to_numpy()]

    changed = first[[c for c in (*CELL, "data_seed", *scores) if c in first]].assign(like=like(first))
    others = right[list(scores)].add_suffix(RIGHT).assign(like=like(right), twin=right.index)
    return changed.merge(others, on="like").drop(columns="like")


def stacked(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The concatenated parts, without empty ones."""
    with_rows = [part for part in parts if len(part)]
    return pd.concat(with_rows, ignore_index=True) if with_rows else parts[0]
