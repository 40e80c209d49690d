"""Incremental R² on held-out trials: does the score help to foretell the outcome of trials not yet seen?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.sections.partial_rank_correlation import indicators
from analysis.stats.rank_correlation import Floats

SPLITS = 200
HELD_OUT = 0.25
"""Share of the data seeds held out in each split."""
MINIMUM_CLUSTERS = 4
"""Fewest data seeds to split."""
QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)


@dataclass(frozen=True)
class IncrementalR2:
    """R² on held-out trials without and with the scores; None, with a reason, where undefined."""

    scores: tuple[str, ...]
    outcome: str
    controls: tuple[str, ...]
    n: int
    """Trials with the outcome, the controls and all the scores."""
    n_missing: int
    n_clusters: int
    n_splits: int = 0
    """Splits in which the held-out outcome varies."""
    without: float | None = None
    """Mean over splits of R²(M0), controls alone."""
    with_scores: float | None = None
    """Mean over splits of R²(M1), controls and scores."""
    estimate: float | None = None
    """Mean over splits of R²(M1) − R²(M0)."""
    quantiles: tuple[tuple[float, float], ...] = ()
    """(probability, quantile over splits of the difference) at .025, .25, .5, .75 and .975."""
    share_positive: float | None = None
    """Share of splits in which the scores help."""
    reason: str | None = None
    interval_reason: str = "splits share trials: their spread is no confidence interval"


def incremental_r2(
    table: pd.DataFrame,
    scores: Sequence[str],
    outcome: str,
    *,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    splits: int = SPLITS,
    seed: int = 0,
) -> IncrementalR2:
    """R²(M1) − R²(M0), M0: outcome ~ controls, M1: outcome ~ controls + scores, both by least squares.

    Each split holds out a quarter of the data seeds (at least one), drawn at random within each dataset, so that no
    held-out trial shares its images with a training trial. Both models are fitted to the rest, and R² = 1 − SSE /
    SST on the held-out trials, SST about their own mean: it is negative where a model foretells worse than that mean.
    The design is that of Ying, Hase & Bansal, VisFIS, NeurIPS 2022; Vedantam et al., NeurIPS 2021, ask the same
    of the trials that were fitted. Trials in which anything is missing are left out and counted. A value of a
    categorical control that the training trials lack gets no coefficient of its own.

    Args:
        table: trials, as in `Trials.table`.
        scores: columns that M1 adds.
        numeric, categorical: columns that both models have.
        seed: of the splits.

    Returns:
        No estimate, with the reason, where a column is absent, there are fewer than 4 data seeds, or the outcome is
        constant.
    """
    controls = (*numeric, *categorical)
    names = [outcome, *numeric, *scores]
    absent = [name for name in (*names, *categorical) if name not in table]
    if absent or not scores:
        reason = f"no trial has the column {absent[0]!r}" if absent else "no score to add"
        return IncrementalR2(tuple(scores), outcome, controls, 0, len(table), 0, reason=reason)
    values = table[names].to_numpy(dtype=np.float64)
    known = np.isfinite(values).all(axis=1) & ~table[list(categorical)].isna().any(axis=1).to_numpy()
    part, values = table[known], values[known]
    cluster, dataset = _clusters(part)
    head = (tuple(scores), outcome, controls, len(part), len(table) - len(part), len(dataset))
    if len(dataset) < MINIMUM_CLUSTERS:
        return IncrementalR2(*head, reason=f"{len(dataset)} data seeds, fewer than {MINIMUM_CLUSTERS}")
    if np.ptp(values[:, 0]) == 0:
        return IncrementalR2(*head, reason="constant outcome")
    # Centred and scaled: R² does not change, and cross-products stay well conditioned.
    spread = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    fixed = indicators(part, categorical)
    columns = np.concatenate([fixed, values[:, 1:], values[:, :1]], axis=1)
    products = _products(columns, cluster, len(dataset))
    held_out = _held_out(dataset, splits, seed)
    n_controls = fixed.shape[1] + len(numeric)
    without = _r_squared(products, held_out, np.arange(n_controls))
    with_scores = _r_squared(products, held_out, np.arange(n_controls + len(scores)))
    defined = np.isfinite(without) & np.isfinite(with_scores)
    if not defined.any():
        return IncrementalR2(*head, reason="the outcome is constant in every held-out part")
    without, with_scores = without[defined], with_scores[defined]
    gain = with_scores - without
    return IncrementalR2(
        *head,
        n_splits=int(defined.sum()),
        without=float(without.mean()),
        with_scores=float(with_scores.mean()),
        estimate=float(gain.mean()),
        quantiles=tuple((q, float(np.quantile(gain, q))) for q in QUANTILES),
        share_positive=float((gain > 0).mean()),
    )


def _clusters(table: pd.DataFrame) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(per trial its data seed's number, per data seed its dataset's number)."""
    dataset = pd.factorize(table["dataset"], sort=True)[0]
    both = np.stack([dataset, pd.factorize(table["data_seed"], sort=True)[0]], axis=1)
    keys, cluster = np.unique(both, axis=0, return_inverse=True)
    return cluster.ravel().astype(np.intp), keys[:, 0].astype(np.intp)


def _products(columns: Floats, cluster: NDArray[np.intp], n_clusters: int) -> Floats:
    """[clusters, columns, columns] the cross-products of each data seed's trials."""
    order = np.argsort(cluster, kind="stable")
    ends = np.cumsum(np.bincount(cluster, minlength=n_clusters))[:-1]
    return np.stack([part.T @ part for part in np.split(columns[order], ends)])


def _held_out(dataset: NDArray[np.intp], splits: int, seed: int) -> Floats:
    """[splits, clusters] 1 for the data seeds held out."""
    rng = np.random.default_rng([seed, len(dataset)])
    chosen = np.zeros((splits, len(dataset)))
    for name in np.unique(dataset):
        members = np.flatnonzero(dataset == name)
        n_out = max(1, round(HELD_OUT * len(members))) if len(members) > 1 else 0
        order = np.argsort(rng.random((splits, len(members))), axis=1)
        np.put_along_axis(chosen, members[order[:, :n_out]], 1.0, axis=1)
    return chosen


def _r_squared(products: Floats, held_out: Floats, predictors: NDArray[np.intp]) -> Floats:
    """[splits] R² on the held-out trials; the first column is the constant, the last the outcome."""
    train = np.tensordot(1 - held_out, products, axes=1)
    test = np.tensordot(held_out, products, axes=1)
    within = np.ix_(np.arange(len(held_out)), predictors, predictors)
    inverse = np.linalg.pinv(train[within], rcond=1e-10, hermitian=True)
    slope = (inverse @ train[:, predictors, -1][:, :, None])[:, :, 0]
    crossed = np.einsum("sp,sp->s", slope, test[:, predictors, -1])
    fitted = np.einsum("sp,spq,sq->s", slope, test[within], slope)
    total = test[:, -1, -1] - test[:, 0, -1] ** 2 / np.maximum(test[:, 0, 0], 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = 1 - (test[:, -1, -1] - 2 * crossed + fitted) / total
    return np.asarray(np.where(total > 1e-9 * np.maximum(test[:, 0, 0], 1), value, np.nan))
