"""Partial rank correlation: does the score tell anything that accuracy in distribution does not?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.stats.cluster_bootstrap import Resamples
from analysis.stats.cluster_jackknife import MINIMUM_CLUSTERS, jackknife
from analysis.stats.estimate import UNDEFINED_WITHOUT_ONE, Estimate, too_few
from analysis.stats.rank_correlation import Floats
from analysis.stats.reweighted import weighted_midranks

_BLOCK = 1_000_000  # values held at once
_NOTHING = 1e-9
"""Share of a rank's variance below which nothing of it is left."""


@dataclass(frozen=True, kw_only=True)
class PartialRankCorrelation(Estimate):
    """The correlation of what the controls leave of the two ranks."""

    score: str
    outcome: str
    controls: tuple[str, ...]
    n: int
    """Trials with score, outcome and all controls."""
    n_missing: int
    df: int
    """n − 2 − rank of the controls."""
    n_clusters: int = 0
    """Data seeds among the trials."""
    p_value: float | None = None
    """Of a partial correlation of zero, by the method of the interval."""


def partial_rank_correlation(
    table: pd.DataFrame,
    score: str,
    outcome: str,
    resamples: Resamples,
    *,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
) -> PartialRankCorrelation:
    """Pearson's correlation of the least-squares residuals of two ranks given controls.

    Score, outcome and the numeric controls are turned to midranks over all trials used; a categorical control
    becomes one indicator per value; all enter one linear model with a constant. With a single numeric control it is
    the classic (r_xy − r_xz r_yz) / sqrt((1 − r_xz²)(1 − r_yz²)) of Spearman's correlations (Kendall, Biometrika 32,
    1942, for the ranks' version of Yule's formula). Trials in which anything is missing are left out and counted.

    The interval is that of the delete-one-data-seed jackknife of Fisher's z, as for the correlations, ranks and
    residuals made anew without each data seed; it needs 6 on each dataset. In simulations with 6 to 20 data seeds it
    covered .91 to .96, the percentile bootstrap .89 to .96.

    Args:
        table: trials, as in `Trials.table`.
        resamples: of this table, for its data seeds.
        numeric, categorical: columns held fixed.

    Returns:
        A value in [−1, 1]; none, with the reason, where a column is absent, no degree of freedom is left, or the
        controls determine one of the ranks.
    """
    controls = (*numeric, *categorical)
    names = [score, outcome, *numeric]
    absent = [name for name in (*names, *categorical) if name not in table]
    head: dict[str, Any] = {"score": score, "outcome": outcome, "controls": controls}
    if absent:
        reason = f"no trial has the column {absent[0]!r}"
        return PartialRankCorrelation(**head, n=0, n_missing=len(table), df=0, reason=reason)
    values = table[names].to_numpy(dtype=np.float64)
    known = np.isfinite(values).all(axis=1) & ~table[list(categorical)].isna().any(axis=1).to_numpy()
    rows = np.flatnonzero(known)
    values = values[rows]
    fixed = indicators(table.iloc[rows], categorical)
    head |= {"n": len(rows), "n_missing": len(table) - len(rows), "n_clusters": resamples.n_clusters(rows)}
    if len(rows) < 2:
        return PartialRankCorrelation(**head, df=0, reason="fewer than 2 trials")
    estimates, rank = _partial(values, fixed, np.ones((1, len(rows))))
    df = len(rows) - 2 - (int(rank[0]) - 1)
    if df < 1:
        return PartialRankCorrelation(**head, df=df, reason=f"{len(rows)} trials leave no degree of freedom")
    if not np.isfinite(estimates[0]):
        reason = "the controls determine the ranks of the score or the outcome"
        return PartialRankCorrelation(**head, df=df, reason=reason)
    estimate = float(estimates[0])
    interval = _interval(estimate, df, values, fixed, rows, resamples)
    return PartialRankCorrelation(**head, df=df, estimate=estimate, **interval)


def _interval(
    estimate: float, df: int, values: Floats, fixed: Floats, rows: NDArray[np.intp], resamples: Resamples
) -> dict[str, Any]:
    clusters, cluster = np.unique(resamples.cluster[rows], return_inverse=True)
    if resamples.fewest(rows) < MINIMUM_CLUSTERS:
        return {"interval_reason": too_few()}
    step = max(1, _BLOCK // values.size)
    without = 1 - np.eye(len(clusters))
    blocks = [without[start : start + step][:, cluster] for start in range(0, len(clusters), step)]
    deleted = np.concatenate([_partial(values, fixed, block)[0] for block in blocks])
    dataset = np.unique(resamples.dataset[clusters], return_inverse=True)[1]
    sizes = np.bincount(dataset[cluster]).astype(np.float64)
    found = jackknife(estimate, deleted, dataset, sizes, sizes * df / len(rows))
    if found is None:
        return {"interval_reason": UNDEFINED_WITHOUT_ONE}
    return {"ci_low": found.low, "ci_high": found.high, "p_value": found.p_value}


def indicators(table: pd.DataFrame, categorical: Sequence[str]) -> Floats:
    """[trials, 1 + values] a constant, and one indicator per value of each column."""
    parts = [np.ones((len(table), 1))]
    for name in categorical:
        codes, values = pd.factorize(table[name])
        parts.append(np.eye(len(values))[codes])
    return np.concatenate(parts, axis=1)


def _partial(values: Floats, fixed: Floats, weights: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """(partial correlation, rank of the controls with the constant) for each row of weights.

    With A the weighted cross-products of the two ranks, B those of the controls and C across, the residuals have
    A − C B⁺ C' (Frisch & Waugh, Econometrica 1, 1933). Ranks are centred and scaled, so that B is well conditioned.
    """
    shares = weights / weights.sum(axis=1, keepdims=True)
    ranks = []
    for column in values.T:
        rank = weighted_midranks(column, weights)
        rank -= (shares * rank).sum(axis=1, keepdims=True)
        spread = np.sqrt((shares * rank**2).sum(axis=1, keepdims=True))
        ranks.append(rank / np.where(spread > 0, spread, 1.0))
    n_ranks, width = len(ranks), len(ranks) + fixed.shape[1]
    products = np.empty((len(weights), width, width))
    for i, rank in enumerate(ranks):
        weighted = shares * rank
        for j in range(i, n_ranks):
            products[:, i, j] = products[:, j, i] = np.einsum("bn,bn->b", weighted, ranks[j])
        products[:, i, n_ranks:] = products[:, n_ranks:, i] = weighted @ fixed
    pairs = (fixed[:, :, None] * fixed[:, None, :]).reshape(len(fixed), -1)
    products[:, n_ranks:, n_ranks:] = (shares @ pairs).reshape(-1, fixed.shape[1], fixed.shape[1])
    inner, cross = products[:, 2:, 2:], products[:, 2:, :2]
    left = products[:, :2, :2] - cross.swapaxes(1, 2) @ np.linalg.pinv(inner, rcond=1e-10, hermitian=True) @ cross
    variance = np.stack([left[:, 0, 0], left[:, 1, 1]])
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.where(variance.min(axis=0) > _NOTHING, left[:, 0, 1] / np.sqrt(variance.prod(axis=0)), np.nan)
    return np.clip(value, -1.0, 1.0), np.linalg.matrix_rank(inner, tol=1e-9, hermitian=True)
