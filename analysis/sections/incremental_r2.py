"""Incremental R² on held-out trials: does the score help predict the outcome of unseen trials?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.answer.answer import Analysis
from analysis.answer.correlations import ID_AUC
from analysis.numbers import capitalized, column_name, count, interval, number, percent
from analysis.sections.id_slopes import CELL, basis, cells_with_slope, covariate_names, why_left_out
from analysis.sections.section import OTHER_WAYS, Section, absent_column, if_estimated, known_rows
from analysis.sections.table import UNDEFINED, Table, bounds, remark, value, whole
from analysis.stats.rank_correlation import Floats
from analysis.trials.trials import UNKNOWN_DATA_SEEDS
from records import columns

SPLITS = 200
HELD_OUT = 0.25
"""Share of the data seeds held out in each split."""
MINIMUM_CLUSTERS = 4
"""Fewest data seeds to split."""
MINIMUM_TRIALS = 20
"""Fewest trials of a cell: a slope fitted to fewer extrapolates wildly to held-out trials."""
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
    n_cells: int = 0
    """Cells with a slope of their own."""
    left_out: dict[str, int] | None = None
    """The other cells, counted by reason."""
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
    covariate: str = ID_AUC,
    *,
    splits: int = SPLITS,
    seed: int = 0,
) -> IncrementalR2:
    """R²(M1) − R²(M0), M0: outcome ~ cell + covariate : cell, M1: M0 + scores, both by least squares.

    Each cell has a constant and a slope of the covariate of its own; a score has one slope over all cells. Cells of
    strata without a shift, or too small for a slope, are left out and counted.

    Each split holds out a quarter of the data seeds (at least one), drawn at random within each dataset, so that no
    held-out trial shares its images with a training trial. Both models are fitted to the rest, and R² = 1 − SSE /
    SST on the held-out trials, SST about their own mean: it is negative where a model predicts worse than that mean.
    The design is that of Ying, Hase & Bansal, VisFIS, NeurIPS 2022; Vedantam et al., NeurIPS 2021, ask the same
    of the trials that were fitted. Trials in which anything is missing are left out and counted.

    Args:
        table: trials, as in `Trials.table`.
        scores: columns that M1 adds.
        covariate: the ID score.
        seed: of the splits.

    Returns:
        No estimate, with the reason, where a column is absent, no cell is left, there are fewer than 4 data seeds, or
        the outcome is constant.
    """
    names = [outcome, covariate, *scores]
    result = IncrementalR2(tuple(scores), outcome, (covariate, *CELL), 0, len(table), 0)
    reason = absent_column(table, names) or (None if scores else "no score to add")
    if reason is not None:
        return replace(result, reason=reason)
    known, values = known_rows(table, names)
    cells, left_out = cells_with_slope(table, known, MINIMUM_TRIALS)
    result = replace(result, n_missing=len(table) - len(known), left_out=left_out)
    if not cells:
        return replace(result, reason=f"no cell has a slope ({why_left_out(left_out)})")
    rows = np.concatenate(list(cells.values()))
    part, values = table.iloc[known[rows]], values[rows]
    cluster, dataset = _clusters(part)
    result = replace(result, n=len(part), n_clusters=len(dataset), n_cells=len(cells))
    if len(dataset) < MINIMUM_CLUSTERS:
        return replace(result, reason=f"{count(len(dataset), 'data seed')}, fewer than {MINIMUM_CLUSTERS}")
    if np.ptp(values[:, 0]) == 0:
        return replace(result, reason="constant outcome")
    # Centred and scaled: R² does not change, and cross-products stay well conditioned.
    spread = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    without, with_scores = _r_squared(values, list(map(len, cells.values())), cluster, _held_out(dataset, splits, seed))
    defined = np.isfinite(without) & np.isfinite(with_scores)
    if not defined.any():
        return replace(result, reason="the outcome is constant in every held-out part")
    without, with_scores = without[defined], with_scores[defined]
    gain = with_scores - without
    return replace(
        result,
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


def _r_squared(values: Floats, sizes: list[int], cluster: NDArray[np.intp], held_out: Floats) -> tuple[Floats, Floats]:
    """([splits] R² on the held-out trials without, [splits] and with the scores).

    Constants and slopes of the cells are swept out cell by cell with the training trials alone, which leaves one small
    regression of the rest on the scores (Frisch & Waugh, Econometrica 1, 1933).

    Args:
        values: [trials, 2 + scores] outcome, covariate and scores, the trials of a cell together.
        sizes: trials of each cell.
        held_out: [splits, clusters] 1 for the data seeds held out.
    """
    n_scores = values.shape[1] - 2
    rest_of_train = rest_of_test = moments = np.zeros(1)
    ends = np.cumsum(sizes)[:-1]
    for part, own in zip(np.split(values, ends), np.split(cluster, ends), strict=True):
        covariate = (part[:, 1] - part[:, 1].mean()) / (part[:, 1].std() or 1.0)
        design = np.column_stack([np.ones(len(part)), covariate, part[:, 2:], part[:, 0]])
        products = _products(design, own, held_out.shape[1])
        train, test = (np.tensordot(share, products, axes=1) for share in (1 - held_out, held_out))
        slopes = np.linalg.pinv(train[:, :2, :2], rcond=1e-10, hermitian=True) @ train[:, :2, 2:]
        sweep = np.concatenate(
            [-slopes, np.broadcast_to(np.eye(n_scores + 1), (len(train), n_scores + 1, n_scores + 1))], axis=1
        )
        rest_of_train, rest_of_test = (
            total + sweep.swapaxes(1, 2) @ own_products @ sweep
            for total, own_products in ((rest_of_train, train), (rest_of_test, test))
        )
        moments = moments + test[:, [0, 0, -1], [0, -1, -1]]
    inverse = np.linalg.pinv(rest_of_train[:, :-1, :-1], rcond=1e-10, hermitian=True)
    slope = np.concatenate([-inverse @ rest_of_train[:, :-1, -1:], np.ones((len(held_out), 1, 1))], axis=1)
    errors = rest_of_test[:, -1, -1], (slope.swapaxes(1, 2) @ rest_of_test @ slope)[:, 0, 0]
    n, total, squares = moments.T
    about_mean = squares - total**2 / np.maximum(n, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        without, with_scores = (
            np.where(about_mean > 1e-9 * np.maximum(n, 1), 1 - e / about_mean, np.nan) for e in errors
        )
    return without, with_scores


def _compute(analysis: Analysis) -> tuple[IncrementalR2, ...]:
    """Of the score alone; and of every localisation score of its split at once, where there are others."""
    table, primary = analysis.trials.table, analysis.primary
    parsed = {str(column): columns.parse_localisation(str(column)) for column in table.columns}
    of_split = [column for column, parts in parsed.items() if parts is not None and parts[0] == primary.split]
    sets = [[primary.column], *([of_split] if of_split != [primary.column] else [])]
    if not analysis.trials.data_seeds_known:
        n = len(table)
        return tuple(
            IncrementalR2(tuple(scores), primary.outcome, (), 0, n, 0, reason=UNKNOWN_DATA_SEEDS) for scores in sets
        )
    return tuple(incremental_r2(table, scores, primary.outcome, seed=analysis.seed) for scores in sets)


def _sentence(analysis: Analysis, result: tuple[IncrementalR2, ...]) -> str:
    first, *others = result
    if first.estimate is None:
        return f"Not estimated: {first.reason}."
    text = (
        f"On trials with other images, {covariate_names(first.covariates[:1])}, with a constant and a slope of its own "
        f"in each cell, {_predicts(first.without or 0.0)}. The map score {_raises(first)}."
    )
    for part in others:
        if part.estimate is not None:
            text += f" All {len(part.scores)} map scores together {_raises(part)}."
    return text


def _predicts(r_squared: float) -> str:
    if r_squared < 0:
        return f"predicts the outcome worse than the mean (R² = {number(r_squared)})"
    return f"accounts for {percent(r_squared)} of the variance of the outcome"


def _raises(part: IncrementalR2) -> str:
    """ "raises the share by 6.1 percentage points (−10.5 to 12.4 over splits)"; noise does not, and predicts worse.

    The range is the middle 95 % of the splits. R² below zero is no share of the variance: there R² itself is raised.
    """
    gain, quantiles, several = part.estimate or 0.0, dict(part.quantiles), len(part.scores) > 1
    is_share = (part.without or 0.0) >= 0
    what, scale, digits, unit = ("the share", 100, 1, " percentage points") if is_share else ("R²", 1, 2, "")
    low, high = scale * quantiles[QUANTILES[0]], scale * quantiles[QUANTILES[-1]]
    change = f"{number(scale * gain, digits)}{unit} ({interval(low, high, digits)} over splits)"
    if gain >= 0:
        text = f"{'raise' if several else 'raises'} {what} by {change}"
    else:
        text = f"{'do' if several else 'does'} not raise {what}: it changes by {change}"
    if (part.with_scores or 0.0) < 0:
        text += f"; with {'them' if several else 'it'} the model predicts worse than the mean"
    return text


def _label(part: IncrementalR2) -> str:
    return column_name(part.scores[0]) if len(part.scores) == 1 else f"all {len(part.scores)} map scores"


def _basis(part: IncrementalR2) -> str:
    missing = f"; {count(part.n_missing, 'trial')} without one of the scores" if part.n_missing else ""
    return basis(part.n, part.n_cells, part.n_clusters, part.left_out) + missing


def _table(result: tuple[IncrementalR2, ...]) -> Table:
    rows = []
    for part in result:
        quantiles = dict(part.quantiles)
        rows.append(
            (
                (" ".join(part.scores), _label(part)),
                value(part.without, 3),
                value(part.with_scores, 3),
                value(part.estimate, 3),
                bounds(quantiles.get(0.025), quantiles.get(0.975), 3),
                (part.share_positive, "–" if part.share_positive is None else f"{part.share_positive:.0%}"),
                whole(part.n),
                remark(part.reason),
            )
        )
    given = covariate_names(result[0].covariates[:1])
    return Table(
        name="incremental",
        title=TITLE,
        caption=(
            f"R² on held-out data seeds, of a linear model of the outcome from {given}, "
            "with a constant and a slope of its own in each cell, without and with the map scores; below zero a model "
            "predicts worse than the mean. The gain’s range is the middle 95 % of the splits, no confidence interval."
            + "".join(f" {capitalized(_label(part))}: {_basis(part)}." for part in result if part.estimate is not None)
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
    sentence=_sentence,
    tables=lambda analysis, result: [_table(result)],
    reported=if_estimated("the gain of R² on held-out data seeds (Ying, Hase & Bansal 2022)"),
    citations={
        "Ying, Hase & Bansal 2022": "Z. Ying, P. Hase, M. Bansal, VisFIS: Visual feature importance supervision with "
        "right-for-the-right-reason objectives. NeurIPS 2022, arXiv:2206.11212."
    },
)
