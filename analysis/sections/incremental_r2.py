"""Incremental R² on held-out trials: does the score help predict the outcome of unseen trials?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.answer.answer import Analysis
from analysis.answer.correlations import ID_AUC
from analysis.numbers import column_name, number, percent
from analysis.sections.partial_rank_correlation import SETTING, covariate_names, indicators, plain_with_controls
from analysis.sections.section import OTHER_WAYS, Section, absent_column, if_estimated
from analysis.sections.table import UNDEFINED, Table, bounds, remark, value, whole
from analysis.stats.rank_correlation import Floats
from records import columns

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
    covariates: tuple[str, ...]
    n: int
    """Trials with the outcome, the covariates and all the scores."""
    n_missing: int
    n_clusters: int
    n_splits: int = 0
    """Splits in which the held-out outcome varies."""
    without: float | None = None
    """Mean over splits of R²(M0), covariates alone."""
    with_scores: float | None = None
    """Mean over splits of R²(M1), covariates and scores."""
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
    """R²(M1) − R²(M0), M0: outcome ~ covariates, M1: outcome ~ covariates + scores, both by least squares.

    Each split holds out a quarter of the data seeds (at least one), drawn at random within each dataset, so that no
    held-out trial shares its images with a training trial. Both models are fitted to the rest, and R² = 1 − SSE /
    SST on the held-out trials, SST about their own mean: it is negative where a model predicts worse than that mean.
    The design is that of Ying, Hase & Bansal, VisFIS, NeurIPS 2022; Vedantam et al., NeurIPS 2021, ask the same
    of the trials that were fitted. Trials in which anything is missing are left out and counted. A value of a
    categorical covariate that the training trials lack gets no coefficient of its own.

    Args:
        table: trials, as in `Trials.table`.
        scores: columns that M1 adds.
        numeric, categorical: columns that both models have.
        seed: of the splits.

    Returns:
        No estimate, with the reason, where a column is absent, there are fewer than 4 data seeds, or the outcome is
        constant.
    """
    covariates = (*numeric, *categorical)
    names = [outcome, *numeric, *scores]
    reason = absent_column(table, (*names, *categorical)) or (None if scores else "no score to add")
    if reason is not None:
        return IncrementalR2(tuple(scores), outcome, covariates, 0, len(table), 0, reason=reason)
    values = table[names].to_numpy(dtype=np.float64)
    known = np.isfinite(values).all(axis=1) & ~table[list(categorical)].isna().any(axis=1).to_numpy()
    part, values = table[known], values[known]
    cluster, dataset = _clusters(part)
    head = (tuple(scores), outcome, covariates, len(part), len(table) - len(part), len(dataset))
    if len(dataset) < MINIMUM_CLUSTERS:
        return IncrementalR2(*head, reason=f"{len(dataset)} data seeds, fewer than {MINIMUM_CLUSTERS}")
    if np.ptp(values[:, 0]) == 0:
        return IncrementalR2(*head, reason="constant outcome")
    # Centred and scaled: R² does not change, and cross-products stay well conditioned.
    spread = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    fixed = indicators(part, categorical)
    design = np.concatenate([fixed, values[:, 1:], values[:, :1]], axis=1)
    products = _products(design, cluster, len(dataset))
    held_out = _held_out(dataset, splits, seed)
    n_covariates = fixed.shape[1] + len(numeric)
    without = _r_squared(products, held_out, np.arange(n_covariates))
    with_scores = _r_squared(products, held_out, np.arange(n_covariates + len(scores)))
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
    """Number of each trial's data seed, and number of each data seed's dataset."""
    dataset = pd.factorize(table["dataset"], sort=True)[0]
    both = np.stack([dataset, pd.factorize(table["data_seed"], sort=True)[0]], axis=1)
    keys, cluster = np.unique(both, axis=0, return_inverse=True)
    return cluster.ravel().astype(np.intp), keys[:, 0].astype(np.intp)


def _products(design: Floats, cluster: NDArray[np.intp], n_clusters: int) -> Floats:
    """[clusters, columns, columns] the cross-products of each data seed's trials."""
    order = np.argsort(cluster, kind="stable")
    ends = np.cumsum(np.bincount(cluster, minlength=n_clusters))[:-1]
    return np.stack([part.T @ part for part in np.split(design[order], ends)])


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


def _compute(analysis: Analysis) -> tuple[IncrementalR2, ...]:
    """Of the score alone; and of every localisation score of its split at once, where there are others."""
    table, primary = analysis.trials.table, analysis.primary
    parsed = {str(column): columns.parse_localisation(str(column)) for column in table.columns}
    of_split = [column for column, parts in parsed.items() if parts is not None and parts[0] == primary.split]
    sets = [[primary.column], *([of_split] if of_split != [primary.column] else [])]
    return tuple(
        incremental_r2(table, scores, primary.outcome, numeric=[ID_AUC], categorical=SETTING, seed=analysis.seed)
        for scores in sets
    )


def _sentence(analysis: Analysis, result: tuple[IncrementalR2, ...]) -> str:
    first, *others = result
    if first.estimate is None:
        return f"Not estimated: {first.reason}."
    text = (
        f"On trials with other images, {covariate_names(first.covariates)} account for {percent(first.without)} of the "
        f"variance of the outcome; the map score {_adds(first.estimate)}."
    )
    for part in others:
        if part.estimate is not None:
            text += f" All {len(part.scores)} map scores together {_adds(part.estimate, several=True)}."
    return text


def _adds(share: float, *, several: bool = False) -> str:
    """ "adds 0.6 percentage points", or what it takes away: a model of noise predicts worse."""
    verb = ("add" if share >= 0 else "take") + ("" if several else "s") + ("" if share >= 0 else " away")
    return f"{verb} {number(100 * abs(share), 1)} percentage points"


def _table(result: tuple[IncrementalR2, ...]) -> Table:
    rows = []
    for part in result:
        quantiles = dict(part.quantiles)
        label = column_name(part.scores[0]) if len(part.scores) == 1 else f"all {len(part.scores)} map scores"
        rows.append(
            (
                (" ".join(part.scores), label),
                value(part.without, 3),
                value(part.with_scores, 3),
                value(part.estimate, 3),
                bounds(quantiles.get(0.025), quantiles.get(0.975), 3),
                (part.share_positive, "–" if part.share_positive is None else f"{part.share_positive:.0%}"),
                whole(part.n),
                remark(part.reason),
            )
        )
    return Table(
        name="incremental",
        title=TITLE,
        caption=(
            "R² on held-out data seeds, of a linear model of the outcome from "
            f"{covariate_names(result[0].covariates)}, without and with the map scores; below zero a model predicts "
            "worse than the mean. The gain’s range is the middle 95 % of the splits, not a confidence interval."
        ),
        headings=("map scores added", "R² without", "R² with", "gain", "range", "splits helped", "n", UNDEFINED),
        rows=tuple(rows),
        text_columns=1,
        fields=("scores", "r2_without", "r2_with", "gain", "gain_range", "share_positive", "n", "reason"),
        fold=0,
    )


TITLE = "Does the map help predict unseen trials?"
SECTION = Section(
    key="incremental",
    title=TITLE,
    part=OTHER_WAYS,
    compute=_compute,
    content=lambda result: {"incremental": [plain_with_controls(part) for part in result]},
    sentence=_sentence,
    tables=lambda analysis, result: [_table(result)],
    reported=if_estimated("the gain of R² on held-out data seeds (Ying, Hase & Bansal 2022)"),
    citations={
        "Ying, Hase & Bansal 2022": "Z. Ying, P. Hase, M. Bansal, VisFIS: Visual feature importance supervision with "
        "right-for-the-right-reason objectives. NeurIPS 2022, arXiv:2206.11212."
    },
)
