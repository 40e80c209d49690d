"""The four comparisons: what a better map says, by what varies between the models that are compared.

- seed: trials of one configuration, which differ in seeds alone; combined over configurations
- setting: configurations of a cell, averaged over seeds
- method: methods of a stratum, averaged over seeds and settings
- given_id: trials of a cell, ranks adjusted for AUC on the ID validation set with one slope a cell

Each is first made into `Parts`: one value per cell (per stratum, between methods), whole and without each data seed.
Everything else, the estimate, its interval, the spread over methods and the effect, combines these.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from analysis.numbers import count
from analysis.stats.cluster_bootstrap import Resamples
from analysis.stats.cluster_jackknife import MINIMUM_CLUSTERS, Jackknife, jackknife, satterthwaite, widened
from analysis.stats.estimate import jackknife_bounds
from analysis.stats.heterogeneity import MINIMUM as FEWEST_TO_PREDICT
from analysis.stats.heterogeneity import Heterogeneity, heterogeneity
from analysis.stats.multiplicity import holm_levels
from analysis.stats.rank_correlation import CLIP, LEVEL, Floats, Ints
from analysis.stats.split_halves import split_halves
from analysis.stats.within_groups import rank_correlation_without_each
from analysis.trials.design import Cell, Codes, Rows, Stratum, cell_rows, design_of
from records import columns

CONTROL = columns.performance("valid_id", "auc")
"""What the comparison given ID adjusts for: validation performance, which every user has."""
FALLBACK_CONTROL = columns.performance("test_id", "auc")
SMALLEST_SPREAD = 0.01
"""Standard deviation of the outcome below which models count as equally good."""
MINIMUM_UNITS = 4
"""Fewest trials, configurations or methods that are ranked."""
MINIMUM_CELLS = 3
"""Fewest cells that carry a comparison."""
MINIMUM_METHODS = 5
"""Fewest methods with an interval for the comparison between methods."""
MINIMUM_RELIABILITY = 0.5
"""Least agreement of two halves of the data seeds about the order of settings or methods."""
MOST_LEVELS = 100
"""Most levels that are left out in turn; more are left out in groups."""
COPIES = 0.05
"""Share of trials that repeat another seed's scores exactly, from which seeds are not taken for replicates."""


@dataclass(frozen=True)
class Level:
    """One comparison at one level of a factor: a stratum, or a method."""

    dataset: str | None
    severity: float | None
    method: str | None
    estimate: float
    ci_low: float | None
    ci_high: float | None
    n_trials: int
    n_cells: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The rank correlation of maps with performance among models that differ in one thing; None where not estimated."""

    comparison: str
    estimate: float | None = None
    ci_low: float | None = None
    """95 % interval over data seeds; between methods, over data seeds and methods."""
    ci_high: float | None = None
    joint_low: float | None = None
    """The interval at the level at which Holm's procedure tests this comparison among all that are declared; the word
    rests on it."""
    joint_high: float | None = None
    prediction_low: float | None = None
    """95 % prediction interval for a new method, averaged over these strata."""
    prediction_high: float | None = None
    prediction_dataset_low: float | None = None
    """95 % prediction interval for a new dataset."""
    prediction_dataset_high: float | None = None
    cells_low: float | None = None
    """95 % prediction interval for one more cell."""
    cells_high: float | None = None
    cells_p_value: float | None = None
    """Of no difference between cells, methods and strata but by seeds and by the draw of settings or methods."""
    auc_per_tenth: float | None = None
    """Difference of the outcome that goes with 0.1 more of the localisation score."""
    auc_per_tenth_low: float | None = None
    auc_per_tenth_high: float | None = None
    n_trials: int = 0
    n_units: int = 0
    """Units that are ranked: trials, or configurations, or methods."""
    n_cells: int = 0
    """Cells that carry the estimate; between methods, strata."""
    n_clusters: int = 0
    """Data seeds of the dataset that has the fewest."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Cells, configurations or strata without a say, by reason."""
    standard_error: float | None = None
    """Of Fisher's z."""
    df: float | None = None
    strata: tuple[Level, ...] = ()
    """Each stratum by itself, those without a shift included."""
    methods: tuple[Level, ...] = ()
    """Each method by itself, over the strata with a shift."""
    without_one_low: float | None = None
    """Least and greatest estimate where one method is left out."""
    without_one_high: float | None = None
    control: str | None = None
    """The column that ranks were adjusted for."""
    reason: str | None = None
    """Why there is no answer."""
    answer: str = "undecided"
    sentence: str = ""


@dataclass(frozen=True)
class Parts:
    """Values of k cells, whole (first column) and without each of G clusters; combined by weighted means."""

    cells: tuple[Cell, ...]
    value: Floats
    """[k, 1 + G] weight times Fisher's z, or weight times rho."""
    weight: Floats
    """[k, 1 + G]."""
    cross: Floats
    """[k, 1 + G] numerator of the slope of the outcome on the score."""
    squares: Floats
    """[k, 1 + G] its denominator."""
    n_trials: Ints
    n_units: Ints
    clusters: NDArray[np.bool_]
    """[k, G] the clusters of each cell."""
    drawn: Floats
    """[k, U] how far the draw of settings moves each cell's value, on its scale, or that of each of U methods each
    stratum's; a setting belongs to one cell, so cells have a column each. 0 between seeds."""
    unresolved: Floats
    """[k] share of the variance by `drawn` that the data do not resolve: which of two close units is first."""
    fisher: bool
    """Whether values are on Fisher's scale: small samples are, averages of configurations are not."""
    left_out: Mapping[str, int] = field(default_factory=dict)

    def take(self, chosen: NDArray[np.bool_]) -> "Parts":
        """Some of the cells."""
        arrays = ("value", "weight", "cross", "squares", "n_trials", "n_units", "clusters", "drawn", "unresolved")
        kept = tuple(cell for cell, keep in zip(self.cells, chosen, strict=True) if keep)
        return replace(self, cells=kept, left_out={}, **{name: getattr(self, name)[chosen] for name in arrays})

    @property
    def rho(self) -> Floats:
        """[1 + G] the cells combined."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self.value.sum(axis=0) / self.weight.sum(axis=0)
        return np.tanh(mean) if self.fisher else mean

    @property
    def slope(self) -> Floats:
        """[1 + G] the cells' slopes combined, by their variation of the score."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.cross.sum(axis=0) / self.squares.sum(axis=0))

    def interval(self, resamples: Resamples) -> Jackknife | None:
        """The combined rho's interval over data seeds; None where it has none."""
        own = np.flatnonzero(self.clusters.any(axis=0))
        names, dataset = np.unique(resamples.dataset[own], return_inverse=True)
        of_cell = [int(np.searchsorted(names, resamples.dataset[row.argmax()])) for row in self.clusters]
        sizes = np.bincount(of_cell, self.n_trials, len(names))
        # Fisher's z of n trials has the variance 1 / (n − d); a mean over G data seeds has 1 / G.
        weights = np.bincount(of_cell, self.weight[:, 0], len(names)) if self.fisher else sizes
        rho = self.rho
        if np.bincount(dataset).min() < MINIMUM_CLUSTERS:
            return None
        result = jackknife(float(rho[0]), rho[1 + own], dataset, sizes, weights)
        if result is None or self.fisher:
            return result
        share = self.weight[:, 0] / self.weight[:, 0].sum()
        unresolved = float((share**2 * self.unresolved * (self.drawn**2).sum(axis=1)).sum())
        return widened(result, float(rho[0]), unresolved / (1 - min(abs(rho[0]), CLIP) ** 2) ** 2)


def compare(
    table: pd.DataFrame,
    score: str,
    outcome: str,
    resamples: Resamples,
    *,
    seed: int,
    smallest_effect: float,
    declared: Sequence[str] = columns.COMPARISONS,
    data_seeds_known: bool = True,
) -> tuple[Comparison, ...]:
    """The declared comparisons of one localisation score with the outcome, their intervals holding jointly.

    Args:
        table: trials, as in `Trials.table`.
        score: the localisation score's column.
        outcome: the outcome's column.
        resamples: clusters of the data seeds of this very table.
        seed: of the random halves of data seeds.
        smallest_effect: smallest correlation of interest, in (0, 1).
        declared: some of `records.columns.COMPARISONS`.
        data_seeds_known: whether it is known which trials share a data seed.
    """
    data = _Data(table, score, outcome, resamples, seed)
    reason = _unfit(data)
    if not reason and not data_seeds_known:
        reason = "the table has no column 'data_seed', so it is not known which trials share their images"
    results = [_comparison(data, name, reason) for name in declared]
    return _with_joint_intervals(results, smallest_effect)


class _Data:
    """The trials that have both scores, and what the comparisons share."""

    def __init__(self, table: pd.DataFrame, score: str, outcome: str, resamples: Resamples, seed: int):
        self.table, self.resamples, self.seed = table, resamples, seed
        self.score, self.outcome = score, outcome
        self.x, self.y = (
            table[name].to_numpy(dtype=np.float64) if name in table else np.full(len(table), np.nan)
            for name in (score, outcome)
        )
        self.present = np.isfinite(self.x) & np.isfinite(self.y)
        design = design_of(table)
        self.configuration: Codes = design.configurations()
        self.axes: tuple[Codes, ...] = tuple(design.codes[axis] for axis in design.axes)
        self.cells = {cell: rows[self.present[rows]] for cell, rows in cell_rows(table).items()}
        self.cells = {cell: rows for cell, rows in self.cells.items() if len(rows)}
        self.n_clusters = resamples.counts.shape[1]

    @property
    def strata(self) -> dict[Stratum, dict[Cell, Rows]]:
        strata: dict[Stratum, dict[Cell, Rows]] = {}
        for cell, rows in self.cells.items():
            strata.setdefault(cell[:2], {})[cell] = rows
        return strata

    def means(self, rows: Rows, unit: Codes) -> tuple[Floats, Floats]:
        """[units, clusters] mean score and outcome of each unit's trials in each cluster of these trials."""
        clusters, cluster = np.unique(self.resamples.cluster[rows], return_inverse=True)
        units, position = np.unique(unit, return_inverse=True)
        shape = (len(units), len(clusters))
        index = np.ravel_multi_index((position, cluster), shape)
        size = np.bincount(index, minlength=len(units) * len(clusters))
        with np.errstate(invalid="ignore", divide="ignore"):
            x, y = (np.bincount(index, v[rows], len(size)) / size for v in (self.x, self.y))
        return x.reshape(shape), y.reshape(shape)


def _unfit(data: _Data) -> str | None:
    """Why no comparison can be answered from these trials; None if some can."""
    if data.score not in data.table:
        return f"no trial has the column {data.score!r}"
    if not data.cells:
        return f"no trial has both {data.score!r} and {data.outcome!r}"
    if not any(severity > 0 for _, severity, _ in data.cells):
        return "no trial has a shift: every severity is 0, where performance on OOD images is performance on ID images"
    copies = _copies(data)
    if copies:
        return (
            f"{count(copies, 'trial')} repeat another seed's scores to the last digit, so seeds are no replicates "
            "here; remove the copies"
        )
    return None


def _copies(data: _Data) -> int:
    """Number of trials that repeat the scores of another seed of their configuration, where that is no accident.

    With scores of few distinct values, equal ones are usual between configurations too, and say nothing.
    """
    names = [
        c for c in map(str, data.table) if columns.parse_localisation(c) or c.endswith((".auc", ".accuracy", ".loss"))
    ]
    table = data.table.loc[data.present, names].assign(_configuration=data.configuration[data.present])
    same = int(table.duplicated().sum())
    by_chance = int(table.duplicated(names).sum()) - same
    return same if same > max(1, COPIES * len(table)) and same > by_chance else 0


def _parts(
    data: _Data,
    cells: Iterable[tuple[Cell, Rows]],
    part: Callable[[Rows, Counter[str]], dict[str, Any] | None],
    fisher: bool,
    in_common: int | None = None,
) -> Parts:
    """The parts of the cells that have one; `in_common`: how many units cells have in common, None for none."""
    names: list[Cell] = []
    found: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    for cell, rows in cells:
        own = part(rows, left_out)
        if own is not None:
            names.append(cell)
            found.append(own)
    k, width = len(names), 1 + data.n_clusters
    arrays = {name: np.zeros((k, width)) for name in ("value", "weight", "cross", "squares")}
    clusters = np.zeros((k, data.n_clusters), dtype=bool)
    drawn = np.zeros((k, k if in_common is None else in_common))
    for row, own in enumerate(found):
        clusters[row, own["clusters"]] = True
        drawn[row, row if in_common is None else own["units"]] = own["drawn"]
        for name, array in arrays.items():
            # A cell is the same without a cluster that it does not have.
            array[row] = own[name][0]
            array[row, 1 + own["clusters"]] = own[name][1:]
    n_trials, n_units = (np.asarray([own[name] for own in found], dtype=np.intp) for name in ("n_trials", "n_units"))
    return Parts(
        tuple(names),
        n_trials=n_trials,
        n_units=n_units,
        clusters=clusters,
        drawn=drawn,
        unresolved=np.asarray([own.get("unresolved", 0.0) for own in found]),
        fisher=fisher,
        left_out=dict(left_out),
        **arrays,
    )


def _by_seed(data: _Data, rows: Rows, left_out: Counter[str]) -> dict[str, Any] | None:
    """A cell's configurations combined: rho among the trials of each, on Fisher's scale."""
    groups = pd.Series(rows).groupby(data.configuration[rows]).agg(list)
    own = np.unique(data.resamples.cluster[rows])
    sums = {name: np.zeros(1 + len(own)) for name in ("value", "weight", "cross", "squares")}
    n_trials = 0
    for members in groups:
        group = np.asarray(members, dtype=np.intp)
        if _too_few(len(group), "trial", left_out) or _hardly_varies(data.y[group].std(ddof=1), left_out):
            continue
        part = _ranked(data, group, None, left_out)
        if part is None:
            continue
        at = 1 + np.searchsorted(own, part["clusters"])
        for name, array in sums.items():
            whole = part[name][0]
            array += whole
            array[at] += part[name][1:] - whole
        n_trials += len(group)
    return {**sums, "clusters": own, "n_trials": n_trials, "n_units": n_trials, "drawn": 0.0} if n_trials else None


def _given_id(data: _Data, control: Floats, rows: Rows, left_out: Counter[str]) -> dict[str, Any] | None:
    """A cell's trials, ranks adjusted for the control."""
    rows = rows[np.isfinite(control[rows])]
    if _too_few(len(rows), "trial", left_out, 1) or _hardly_varies(data.y[rows].std(ddof=1), left_out):
        return None
    part = _ranked(data, rows, control[rows], left_out)
    if part is not None:
        part["drawn"] = _by_draw(data, control, rows)
    return part


def _by_draw(data: _Data, control: Floats, rows: Rows) -> float:
    """Standard deviation of Fisher's z of a cell's trials by the draw of its settings.

    Settings have the levels of their axes in common, strengths and learning rates, so trials are clustered in several
    ways at once: the variance is the sum of those by the levels of each axis, less that by configuration for all axes
    but one (Cameron, Gelbach & Miller, J. Bus. Econ. Stat. 29, 2011, section 2.3), and not less than that.
    """

    def variance(codes: Codes) -> float:
        level = (np.unique(codes[rows], return_inverse=True)[1] % MOST_LEVELS).astype(np.intp)
        part = rank_correlation_without_each(data.x[rows], data.y[rows], level, control[rows])
        return float((_influence(np.arctanh(np.clip(part.rho[1:], -CLIP, CLIP))) ** 2).sum())

    own = variance(data.configuration)
    ways = [variance(axis) for axis in data.axes if len(np.unique(axis[rows])) > 1]
    return float(np.sqrt(max(own, sum(ways) - (len(ways) - 1) * own)))


def _influence(deleted: Floats) -> Floats:
    """[g] how far each of g units or clusters moves an estimate, from its values without each; 0 where undefined."""
    g, known = len(deleted), np.isfinite(deleted)
    if known.sum() < 2:
        return np.zeros(g)
    return np.where(known, -np.sqrt((g - 1) / g) * (deleted - deleted[known].mean()), 0.0)


def _ranked(data: _Data, rows: Rows, control: Floats | None, left_out: Counter[str]) -> dict[str, Any] | None:
    part = rank_correlation_without_each(data.x[rows], data.y[rows], data.resamples.cluster[rows], control)
    if not np.isfinite(part.rho[0]):
        left_out["constant score" if control is None else "score or outcome that validation AUC determines"] += 1
        return None
    weight = np.where(np.isfinite(part.rho), part.weight, 0.0)
    z = np.arctanh(np.clip(np.nan_to_num(part.rho), -CLIP, CLIP))
    return {
        "value": weight * z,
        "weight": weight,
        "cross": part.cross,
        "squares": part.squares,
        "clusters": part.clusters,
        "n_trials": len(rows),
        "n_units": len(rows),
    }


def _averaged(data: _Data, unit: Codes, noun: str, rows: Rows, left_out: Counter[str]) -> dict[str, Any] | None:
    """Units' averages over seeds, cross-fitted; every cell or stratum counts by its number of units less one."""
    x, y = data.means(rows, unit[rows])
    if _too_few(len(x), noun, left_out):
        return None
    halves = split_halves(x, y, seed=data.seed)
    if halves is None:
        left_out["a single data seed"] += 1
        return None
    if _hardly_varies(float(np.sqrt(max(halves.variance_y[0], 0.0))), left_out):
        return None
    if not min(halves.reliability_x[0], halves.reliability_y[0]) >= MINIMUM_RELIABILITY:
        left_out[f"{noun}s in no stable order: two halves of the data seeds disagree"] += 1
        return None
    weight = np.where(np.isfinite(halves.rho), len(x) - 1.0, 0.0)
    units = np.unique(unit[rows])
    drawn = _influence(rank_correlation_without_each(np.nanmean(x, axis=1), np.nanmean(y, axis=1), units).rho[1:])
    return {
        "units": units,
        "unresolved": halves.unresolved,
        # Strata have methods in common.
        "drawn": drawn if noun == "method" else float(np.sqrt((drawn**2).sum())),
        "value": weight * np.nan_to_num(halves.rho),
        "weight": weight,
        "cross": halves.covariance,
        "squares": halves.variance_x,
        "clusters": np.unique(data.resamples.cluster[rows]),
        "n_trials": len(rows),
        "n_units": len(x),
    }


def _too_few(n: int, noun: str, left_out: Counter[str], more: int = 0) -> bool:
    if n < MINIMUM_UNITS + more:
        left_out[f"fewer than {MINIMUM_UNITS + more} {noun}s"] += 1
    return n < MINIMUM_UNITS + more


def _hardly_varies(spread: float, left_out: Counter[str]) -> bool:
    if spread < SMALLEST_SPREAD:
        left_out[f"outcome varies by less than {SMALLEST_SPREAD:g}"] += 1
    return spread < SMALLEST_SPREAD


def _comparison(data: _Data, name: str, reason: str | None) -> Comparison:
    if not data.cells or data.score not in data.table:
        return Comparison(comparison=name, reason=reason)
    control = _control(data) if name == "given_id" else None
    if name == "given_id" and control is None:
        absent = f"no trial has the column {CONTROL!r} or {FALLBACK_CONTROL!r}"
        return Comparison(comparison=name, reason=reason or absent)
    parts = _parts_of(data, name, control)
    shifted = parts.take(np.asarray([severity > 0 for _, severity, _ in parts.cells], dtype=bool))
    result = Comparison(
        comparison=name,
        n_trials=int(shifted.n_trials.sum()),
        n_units=int(shifted.n_units.sum()),
        n_cells=len(shifted.cells),
        left_out=parts.left_out,
        control=control,
        reason=reason,
        strata=tuple(_levels(data, parts, (0, 1))),
        methods=() if name == "method" else tuple(_levels(data, shifted, (2,))),
    )
    if not shifted.cells:
        return replace(result, reason=reason or _nothing_usable(name, parts))
    own = shifted.clusters.any(axis=0)
    fewest = int(np.unique(data.resamples.dataset[own], return_counts=True)[1].min())
    result = replace(result, estimate=float(shifted.rho[0]), n_clusters=fewest, **_slope(data, shifted, own))
    if name != "method":
        result = replace(result, **_without_one(shifted))
    if not reason:
        reason = _unanswerable(name, result)
    if reason:
        return replace(result, reason=reason)
    interval = _interval(data, name, shifted, fewest)
    if interval is None:
        return replace(result, reason="without one of the data seeds it is undefined")
    z, error, df = interval
    reach = float(special.stdtrit(df, 0.5 + LEVEL / 2)) * error
    return replace(
        result,
        ci_low=float(np.tanh(z - reach)),
        ci_high=float(np.tanh(z + reach)),
        standard_error=error,
        df=df,
        **_predictions(data, name, shifted),
    )


def _control(data: _Data) -> str | None:
    """The control's column: validation AUC, or AUC on the ID test set in a table without it."""
    for name in (CONTROL, FALLBACK_CONTROL):
        if name in data.table and name != data.outcome and data.table[name].notna().any():
            return name
    return None


def _parts_of(data: _Data, name: str, control: str | None) -> Parts:
    if name == "seed":
        return _parts(data, data.cells.items(), lambda rows, left_out: _by_seed(data, rows, left_out), fisher=True)
    if name == "setting":
        unit = data.configuration
        return _parts(
            data,
            data.cells.items(),
            lambda rows, left_out: _averaged(data, unit, "setting", rows, left_out),
            fisher=False,
        )
    if name == "method":
        return _between_methods(data, data.table["method"].astype(str).to_numpy())
    values = data.table[control].to_numpy(dtype=np.float64)
    return _parts(
        data,
        data.cells.items(),
        lambda rows, left_out: _given_id(data, values, rows, left_out),
        fisher=True,
    )


def _between_methods(data: _Data, method: NDArray[Any], without: str | None = None) -> Parts:
    """A part a stratum, of the methods that all of its data seeds' trials have."""
    unit = np.unique(method, return_inverse=True)[1].astype(np.intp)
    strata = []
    for (dataset, severity), cells in data.strata.items():
        rows = [own for cell, own in cells.items() if cell[2] != without]
        if rows:
            strata.append(((dataset, severity, ""), np.concatenate(rows)))
    return _parts(
        data,
        strata,
        lambda rows, left_out: _averaged(data, unit, "method", rows, left_out),
        fisher=False,
        in_common=1 + int(unit.max()),
    )


def _interval(data: _Data, name: str, parts: Parts, fewest: int) -> tuple[float, float, float] | None:
    """(Fisher's z, its standard error, degrees of freedom); None where it is undefined without one data seed."""
    z = float(np.arctanh(np.clip(parts.rho[0], -CLIP, CLIP)))
    result = parts.interval(data.resamples)
    if result is not None:
        error, df = result.standard_error, result.df
    elif np.isfinite(parts.rho).all():
        # No data seed makes a difference: the interval of as many pairs as there are data seeds.
        error, df = float(np.sqrt(1.06 / (fewest - 3))), float(fewest - 1)
    else:
        return None
    if name != "method":
        return z, error, df
    # Other methods would have given other values, so methods are left out in turn as data seeds are.
    method = data.table["method"].astype(str).to_numpy()
    names = sorted({cell[2] for cell in data.cells if cell[1] > 0})
    deleted = [_between_methods(data, method, without=left) for left in names]
    shifted = [part.take(np.asarray([s > 0 for _, s, _ in part.cells], dtype=bool)) for part in deleted]
    if not all(part.cells for part in shifted):
        return None
    values = np.arctanh(np.clip([float(part.rho[0]) for part in shifted], -CLIP, CLIP))
    variance = (len(values) - 1) / len(values) * float(((values - values.mean()) ** 2).sum())
    variances = np.asarray([error**2, variance])
    return z, float(np.sqrt(variances.sum())), satterthwaite(variances, np.asarray([df, len(values) - 1.0]))


def _unanswerable(name: str, result: Comparison) -> str | None:
    """The requirement that an estimate does not meet; None if it meets all."""
    if name == "method":
        methods = result.n_units / max(result.n_cells, 1)
        if methods < MINIMUM_METHODS:
            return f"{methods:.0f} methods are compared, fewer than {MINIMUM_METHODS}"
    elif result.n_cells < MINIMUM_CELLS:
        return f"{count(result.n_cells, 'cell carries', 'cells carry')} it, fewer than {MINIMUM_CELLS}"
    if result.n_clusters < MINIMUM_CLUSTERS:
        return f"a dataset has {count(result.n_clusters, 'data seed')}, fewer than {MINIMUM_CLUSTERS}"
    return None


def _nothing_usable(name: str, parts: Parts) -> str:
    reasons = Counter(dict(parts.left_out)).most_common()
    if not reasons:
        return "no cell with a shift can be compared"
    return "nothing can be compared: " + "; ".join(f"{why} ({n:,})" for why, n in reasons)


def _levels(data: _Data, parts: Parts, by: Sequence[int]) -> Iterable[Level]:
    """The combined value of each dataset and severity (by 0 and 1), or of each method (by 2)."""
    keys = [tuple(cell[i] for i in by) for cell in parts.cells]
    for key in dict.fromkeys(keys):
        own = parts.take(np.asarray([other == key for other in keys], dtype=bool))
        interval = own.interval(data.resamples)
        fixed = dict(zip(by, key, strict=True))
        rho = float(own.rho[0])
        if np.isfinite(rho):
            yield Level(
                dataset=fixed.get(0),
                severity=fixed.get(1),
                method=fixed.get(2),
                estimate=rho,
                ci_low=None if interval is None else interval.low,
                ci_high=None if interval is None else interval.high,
                n_trials=int(own.n_trials.sum()),
                n_cells=len(own.cells),
            )


def _slope(data: _Data, parts: Parts, own: NDArray[np.bool_]) -> dict[str, Any]:
    slope = parts.slope / 10
    if not np.isfinite(slope[0]):
        return {}
    clusters = np.flatnonzero(own)
    bounds = jackknife_bounds(float(slope[0]), slope[1 + clusters], data.resamples.dataset[clusters])
    return {
        "auc_per_tenth": float(slope[0]),
        "auc_per_tenth_low": bounds.get("ci_low"),
        "auc_per_tenth_high": bounds.get("ci_high"),
    }


def _without_one(parts: Parts) -> dict[str, Any]:
    names = [cell[2] for cell in parts.cells]
    if len(set(names)) < FEWEST_TO_PREDICT:
        return {}
    estimates = [float(parts.take(np.asarray([n != left for n in names])).rho[0]) for left in sorted(set(names))]
    return {"without_one_low": min(estimates), "without_one_high": max(estimates)}


def _predictions(data: _Data, name: str, parts: Parts) -> dict[str, Any]:
    """Prediction intervals for a new method, a new dataset and one more cell."""
    by_method = None if name == "method" else _spread(data, parts, [cell[2] for cell in parts.cells])
    by_stratum = None if name == "method" else _spread(data, parts, [cell[:2] for cell in parts.cells])
    by_dataset = _spread(data, parts, [cell[0] for cell in parts.cells])
    cells = _spread(data, parts, list(range(len(parts.cells))))
    back = np.tanh if parts.fisher else lambda value: np.clip(value, -1.0, 1.0)
    # Differences by severity or method show up there before they do among many cells; Bonferroni's correction.
    tested = [spread.p_value for spread in (cells, by_method, by_stratum) if spread is not None]
    result: dict[str, Any] = {"cells_p_value": min(1.0, len(tested) * min(tested))} if tested else {}
    for label, spread in (("prediction", by_method), ("prediction_dataset", by_dataset), ("cells", cells)):
        if spread is not None:
            result |= {f"{label}_low": float(back(spread.low)), f"{label}_high": float(back(spread.high))}
    return result


def _spread(data: _Data, parts: Parts, keys: Sequence[object]) -> Heterogeneity | None:
    """How much the groups of cells with the same key differ."""
    values, influences, drawn = [], [], []
    for key in dict.fromkeys(keys):
        own = parts.take(np.asarray([other == key for other in keys], dtype=bool))
        with np.errstate(invalid="ignore", divide="ignore"):
            value = own.value.sum(axis=0) / own.weight.sum(axis=0)
        influence = np.zeros(data.n_clusters)
        for dataset in np.unique(data.resamples.dataset[own.clusters.any(axis=0)]):
            clusters = np.flatnonzero(own.clusters.any(axis=0) & (data.resamples.dataset == dataset))
            influence[clusters] = _influence(value[1 + clusters])
        values.append(value[0])
        influences.append(influence)
        drawn.append(own.weight[:, 0] @ own.drawn / own.weight[:, 0].sum())
    used = parts.clusters.any(axis=0)
    df = used.sum() - len(np.unique(data.resamples.dataset[used]))
    return heterogeneity(np.asarray(values), np.asarray(influences), float(df), np.asarray(drawn))


def _with_joint_intervals(results: Sequence[Comparison], smallest_effect: float) -> tuple[Comparison, ...]:
    """Each comparison tested against the smallest effect of interest, at the levels of Holm's procedure."""
    tested = [i for i, result in enumerate(results) if result.standard_error is not None]
    levels = holm_levels([_p_of_word(results[i], smallest_effect) for i in tested])
    joined = list(results)
    for i, level in zip(tested, levels, strict=True):
        result = results[i]
        if result.estimate is None or result.standard_error is None or result.df is None:
            continue
        z = float(np.arctanh(np.clip(result.estimate, -CLIP, CLIP)))
        reach = float(special.stdtrit(result.df, 1 - level / 2)) * result.standard_error
        joined[i] = replace(result, joint_low=float(np.tanh(z - reach)), joint_high=float(np.tanh(z + reach)))
    return tuple(joined)


def _p_of_word(result: Comparison, smallest_effect: float) -> float:
    """Two-sided p-value of the word that the interval is nearest to: the level at which it just says it."""
    z = float(np.arctanh(np.clip(result.estimate or 0.0, -CLIP, CLIP)))
    limit = float(np.arctanh(smallest_effect))
    farthest = max(z - limit, -z - limit, min(z + limit, limit - z))
    return min(1.0, float(2 * special.stdtr(result.df, -farthest / (result.standard_error or 1.0))))
