"""Robust sign error: how often the score orders two configurations wrongly, at worst over settings."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.stats.rank_correlation import Floats
from analysis.trials.design import AxisPoints, Codes, axis_points, design_of, n_pairs_within, pairs_within
from analysis.trials.scores import proportion_of

MINIMUM_WEIGHT = 0.5
"""Pairs of less confidence than this count for nothing; the rest is reduced by it."""
MINIMUM_SIZE = 12
"""Smallest effective number of pairs of an environment."""
GRID = tuple(i / 50 for i in range(51))
"""Where the distribution function is given."""
_BLOCK = 2_000_000  # pairs of trials held at once
FEW_PAIRS = f"fewer than {MINIMUM_SIZE} pairs of trials"
SMALL = f"effective number of pairs under {MINIMUM_SIZE}"


@dataclass(frozen=True)
class SignErrors:
    """The sign errors of the environments of one axis, or of all; None, with a reason, where none is kept."""

    axis: str | None
    """None for all axes together."""
    n_environments: int
    n_kept: int
    dropped: dict[str, int]
    """Environments left out, counted by reason."""
    mean: float | None
    p90: float | None
    maximum: float | None
    """The robust sign error."""
    distribution: tuple[tuple[float, float], ...]
    """(error, share of the environments with at most this error) at 0, .02, …, 1."""
    reason: str | None = None


@dataclass(frozen=True)
class SignError:
    """Sign errors overall and per axis."""

    score: str
    outcome: str
    """The column whose sign is to be foretold: accuracy in place of AUC."""
    n: int
    """Trials with the score, the outcome and a known number of test images."""
    n_missing: int
    overall: SignErrors
    axes: tuple[SignErrors, ...]
    reason: str | None = None


def sign_error(table: pd.DataFrame, score: str, outcome: str) -> SignError:
    """The weighted share of trial pairs that score mu orders unlike outcome g, per environment.

    An environment is a pair of configurations that differ in exactly one axis, and holds all pairs of a trial of
    the one with a trial of the other. A pair's loss is l = (1 − sgn(mu_1 − mu_2) sgn(g_1 − g_2)) / 2, so that a
    tie in either counts one half. Its weight is w = max(0, max(0, 1 − phi)² − 1/2) with phi = 2 exp(−2 n (|g_1 −
    g_2| / 2)²), Hoeffding's bound on a wrong sign of g_1 − g_2 with n test images (the fewer of the two trials').
    The environment's error is sum w l / sum w; it is kept if (sum w)² / sum w² is 12 or more. 1/2 is what a coin
    gets. The maximum over environments is the robust sign error.

    Source: Dziugaite et al., In search of robust measures of generalization, NeurIPS 2020, arXiv 2010.11924,
    sections 3-4. A pair counts only if its outcomes differ by more than sqrt(3.84 / n): .17 with 128 images, .044
    with 2,000. All trials share one test set, which makes the weights conservative.

    The bound needs a mean over images: g is the accuracy on the outcome's split (see `proportion_of`). Trials
    without score, outcome or n are left out and counted. Axes and configurations are those of configurations.py.

    Returns:
        Errors in [0, 1]; no error, with the reason, where no environment is kept.
    """
    proportion = proportion_of(table, outcome)
    reason = f"no trial has the column {score!r}" if score not in table else proportion.reason
    if reason is not None or proportion.column is None:
        nothing = _summary(None, np.empty(0), Counter(), reason)
        return SignError(score, proportion.column or outcome, 0, len(table), nothing, (), reason)
    scores = table[[score, proportion.column]].to_numpy(dtype=np.float64)
    rows = np.flatnonzero(np.isfinite(scores).all(axis=1) & np.isfinite(proportion.n))
    design = design_of(table.iloc[rows])
    found, errors, dropped = [], [], Counter[str]()
    for axis in design.axes:
        points = axis_points(design, axis)
        values, left_out = _errors(points, scores[rows, 0], scores[rows, 1], proportion.n[rows])
        found.append(_summary(axis, values, left_out))
        errors.append(values)
        dropped += left_out
    overall = _summary(None, np.concatenate([np.empty(0), *errors]), dropped)
    return SignError(score, proportion.column, len(rows), len(table) - len(rows), overall, tuple(found), overall.reason)


def pair_weights(difference: Floats, n: Floats) -> Floats:
    """w of pairs whose outcomes differ by `difference` on n test images each, in [0, 1/2]."""
    phi = 2 * np.exp(-2 * n * (np.abs(difference) / 2) ** 2)
    return np.asarray(np.maximum(0.0, np.maximum(0.0, 1 - phi) ** 2 - MINIMUM_WEIGHT))


def _errors(points: AxisPoints, mu: Floats, g: Floats, n: Floats) -> tuple[Floats, Counter[str]]:
    """The errors of the environments kept, and the others counted by reason."""
    order = np.argsort(points.point, kind="stable")
    mu, g, n = mu[order], g[order], n[order]
    sizes = np.bincount(points.point, minlength=len(points.cell))
    starts = np.cumsum(sizes) - sizes
    n_environments = n_pairs_within(points.cell)
    kept: list[Floats] = []
    n_large = 0
    for first, second in _large_environments(points.cell, sizes):
        n_large += len(first)
        a, b, begins = _trial_pairs(first, second, starts, sizes)
        difference = g[a] - g[b]
        weight = pair_weights(difference, np.minimum(n[a], n[b]))
        loss = (1 - np.sign(mu[a] - mu[b]) * np.sign(difference)) / 2
        total, squares, wrong = (np.add.reduceat(v, begins) for v in (weight, weight**2, weight * loss))
        # The tolerance lets an environment of exactly 12 equal pairs in.
        enough = (total > 0) & (total**2 >= MINIMUM_SIZE * squares * (1 - 1e-9))
        kept.append(wrong[enough] / total[enough])
    values = np.concatenate([np.empty(0), *kept])
    counts = Counter({FEW_PAIRS: n_environments - n_large, SMALL: n_large - len(values)})
    return values, +counts  # without the zeros


def _large_environments(cell: Codes, sizes: Codes) -> Iterator[tuple[Codes, Codes]]:
    """Pairs of points with at least 12 pairs of trials, in blocks: fewer can never have an effective 12."""
    largest = np.zeros(int(cell.max(initial=0)) + 1, dtype=np.intp)
    np.maximum.at(largest, cell, sizes)
    able = np.flatnonzero(sizes * largest[cell] >= MINIMUM_SIZE)
    if not len(able):
        return
    first, second = pairs_within(cell[able])
    first, second = able[first], able[second]
    large = sizes[first] * sizes[second] >= MINIMUM_SIZE
    first, second = first[large], second[large]
    block = np.cumsum(sizes[first] * sizes[second]) // _BLOCK
    for part in np.split(np.arange(len(first)), np.flatnonzero(np.diff(block)) + 1):
        if len(part):
            yield first[part], second[part]


def _trial_pairs(first: Codes, second: Codes, starts: Codes, sizes: Codes) -> tuple[Codes, Codes, Codes]:
    """(position of the one trial, of the other, where each environment begins) of all pairs of trials."""
    lengths = sizes[first] * sizes[second]
    begins = np.cumsum(lengths) - lengths
    within = np.arange(int(lengths.sum())) - np.repeat(begins, lengths)
    width = np.repeat(sizes[second], lengths)
    a = np.repeat(starts[first], lengths) + within // width
    b = np.repeat(starts[second], lengths) + within % width
    return a, b, begins


def _summary(axis: str | None, values: Floats, dropped: Counter[str], reason: str | None = None) -> SignErrors:
    n_environments = len(values) + sum(dropped.values())
    if not len(values):
        told = "; ".join(f"{n:,}: {why}" for why, n in dropped.items())
        unusable = f"no pair of configurations can be used ({told})"
        reason = reason or (unusable if told else "no two configurations differ in one setting alone")
        return SignErrors(axis, n_environments, 0, dict(dropped), None, None, None, (), reason)
    ordered = np.sort(values)
    shares = np.searchsorted(ordered, np.asarray(GRID) + 1e-9, side="right") / len(ordered)
    return SignErrors(
        axis=axis,
        n_environments=n_environments,
        n_kept=len(values),
        dropped=dict(dropped),
        mean=float(values.mean()),
        p90=float(np.quantile(values, 0.9)),
        maximum=float(ordered[-1]),
        distribution=tuple(zip(GRID, map(float, shares), strict=True)),
    )
