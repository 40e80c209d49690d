"""What the comparisons combine: a value per cell, or per stratum between methods, whole and without each data seed."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.numbers import count
from analysis.stats.cluster_bootstrap import Resamples
from analysis.stats.cluster_jackknife import MINIMUM_CLUSTERS, Jackknife, jackknife, widened
from analysis.stats.rank_correlation import CLIP, Floats, Ints
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


class Data:
    """The trials that have both scores, and what the comparisons share.

    Args:
        table: trials, as in `Trials.table`.
        score: the column of a localisation score, or of another score that may predict the outcome.
        outcome: the outcome's column.
        resamples: clusters of the data seeds of this very table.
        seed: of the random halves of data seeds.
    """

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
        self.parts: dict[str, Parts] = {}
        """By comparison, filled by `parts_of`."""

    def where(self, kept: NDArray[np.bool_]) -> "Data":
        """The same without the score of the other trials."""
        table = self.table.assign(**{self.score: self.table[self.score].where(kept)})
        return Data(table, self.score, self.outcome, self.resamples, self.seed)

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
        sizes = _sums(of_cell, self.n_trials, len(names))
        # Fisher's z of n trials has the variance 1 / (n − d); a mean over G data seeds has 1 / G.
        weights = _sums(of_cell, self.weight[:, 0], len(names)) if self.fisher else sizes
        rho = self.rho
        if np.bincount(dataset).min() < MINIMUM_CLUSTERS:
            return None
        result = jackknife(float(rho[0]), rho[1 + own], dataset, sizes, weights)
        if result is None or self.fisher:
            return result
        share = self.weight[:, 0] / self.weight[:, 0].sum()
        unresolved = float((share**2 * self.unresolved * (self.drawn**2).sum(axis=1)).sum())
        return widened(result, float(rho[0]), unresolved / (1 - min(abs(rho[0]), CLIP) ** 2) ** 2)


def _sums(group: Sequence[int], values: Floats | Ints, n: int) -> Floats:
    return np.asarray(np.bincount(group, values, n), dtype=np.float64)


def shifted_parts(parts: Parts) -> Parts:
    """The cells with a shift."""
    return parts.take(np.asarray([severity > 0 for _, severity, _ in parts.cells], dtype=bool))


def control_of(data: Data) -> str | None:
    """The control's column: validation AUC, or AUC on the ID test set in a table without it."""
    for name in (CONTROL, FALLBACK_CONTROL):
        if name in data.table and name != data.outcome and data.table[name].notna().any():
            return name
    return None


def parts_of(data: Data, name: str, control: str | None) -> Parts:
    """The parts of a comparison, made once; `control` is that of `control_of`."""
    if name not in data.parts:
        data.parts[name] = _made(data, name, control)
    return data.parts[name]


def _made(data: Data, name: str, control: str | None) -> Parts:
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
        return between_methods(data, data.table["method"].astype(str).to_numpy())
    values = data.table[control].to_numpy(dtype=np.float64)
    return _parts(
        data,
        data.cells.items(),
        lambda rows, left_out: _given_id(data, values, rows, left_out),
        fisher=True,
    )


def between_methods(data: Data, method: NDArray[Any], without: str | None = None) -> Parts:
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


def unfit(data: Data) -> str | None:
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


def _copies(data: Data) -> int:
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
    data: Data,
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
        # Strata without a shift are no part of the answer, so nobody misses them.
        own = part(rows, left_out if cell[1] > 0 else Counter())
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


def _by_seed(data: Data, rows: Rows, left_out: Counter[str]) -> dict[str, Any] | None:
    """A cell's configurations combined: rho among the trials of each, on Fisher's scale."""
    groups = pd.Series(rows).groupby(data.configuration[rows]).agg(list)
    own = np.unique(data.resamples.cluster[rows])
    sums = {name: np.zeros(1 + len(own)) for name in ("value", "weight", "cross", "squares")}
    n_trials = 0
    for members in groups:
        group = np.asarray(members, dtype=np.intp)
        if _too_few(len(group), "trials", left_out) or _hardly_varies(data.y[group].std(ddof=1), left_out):
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


def _given_id(data: Data, control: Floats, rows: Rows, left_out: Counter[str]) -> dict[str, Any] | None:
    """A cell's trials, ranks adjusted for the control."""
    rows = rows[np.isfinite(control[rows])]
    if _too_few(len(rows), "trials", left_out, 1) or _hardly_varies(data.y[rows].std(ddof=1), left_out):
        return None
    part = _ranked(data, rows, control[rows], left_out)
    if part is not None:
        part["drawn"] = _by_draw(data, control, rows)
    return part


def _by_draw(data: Data, control: Floats, rows: Rows) -> float:
    """Standard deviation of Fisher's z of a cell's trials by the draw of its settings.

    Settings have the levels of their axes in common, strengths and learning rates, so trials are clustered in several
    ways at once: the variance is the sum of those by the levels of each axis, less that by configuration for all axes
    but one (Cameron, Gelbach & Miller, J. Bus. Econ. Stat. 29, 2011, section 2.3), and not less than that.
    """

    def variance(codes: Codes) -> float:
        level = (np.unique(codes[rows], return_inverse=True)[1] % MOST_LEVELS).astype(np.intp)
        part = rank_correlation_without_each(data.x[rows], data.y[rows], level, control[rows])
        return float((influence_of(np.arctanh(np.clip(part.rho[1:], -CLIP, CLIP))) ** 2).sum())

    own = variance(data.configuration)
    ways = [variance(axis) for axis in data.axes if len(np.unique(axis[rows])) > 1]
    return float(np.sqrt(max(own, sum(ways) - (len(ways) - 1) * own)))


def influence_of(deleted: Floats) -> Floats:
    """[g] how far each of g units or clusters moves an estimate, from its values without each; 0 where undefined."""
    g, known = len(deleted), np.isfinite(deleted)
    if known.sum() < 2:
        return np.zeros(g)
    return np.where(known, -np.sqrt((g - 1) / g) * (deleted - deleted[known].mean()), 0.0)


def _ranked(data: Data, rows: Rows, control: Floats | None, left_out: Counter[str]) -> dict[str, Any] | None:
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


def _averaged(data: Data, unit: Codes, noun: str, rows: Rows, left_out: Counter[str]) -> dict[str, Any] | None:
    """Units' averages over seeds, cross-fitted; every cell or stratum counts by its number of units less one.

    A unit with one data seed has no halves, so it is not ranked.
    """
    x, _ = data.means(rows, unit[rows])
    units = np.unique(unit[rows])[np.isfinite(x).sum(axis=1) > 1]
    if _too_few(len(x), f"{noun}s", left_out) or _too_few(len(units), f"{noun}s with two data seeds", left_out):
        return None
    rows = rows[np.isin(unit[rows], units)]
    x, y = data.means(rows, unit[rows])
    halves = split_halves(x, y, seed=data.seed)
    if halves is None or _hardly_varies(
        float(np.sqrt(max(halves.variance_y[0], 0.0))), left_out, f"mean outcome of {noun}s"
    ):
        return None
    if not min(halves.reliability_x[0], halves.reliability_y[0]) >= MINIMUM_RELIABILITY:
        left_out[f"{noun}s in no stable order between halves of the data seeds"] += 1
        return None
    weight = np.where(np.isfinite(halves.rho), len(x) - 1.0, 0.0)
    drawn = influence_of(rank_correlation_without_each(np.nanmean(x, axis=1), np.nanmean(y, axis=1), units).rho[1:])
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


def _too_few(n: int, what: str, left_out: Counter[str], more: int = 0) -> bool:
    if n < MINIMUM_UNITS + more:
        left_out[f"fewer than {MINIMUM_UNITS + more} {what}"] += 1
    return n < MINIMUM_UNITS + more


def _hardly_varies(spread: float, left_out: Counter[str], what: str = "outcome") -> bool:
    if spread < SMALLEST_SPREAD:
        left_out[f"{what} varies by less than {SMALLEST_SPREAD:g}"] += 1
    return spread < SMALLEST_SPREAD
