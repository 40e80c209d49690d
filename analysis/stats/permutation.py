"""Permutation test of no correlation within cells; it moves data seeds as whole blocks.

Null hypothesis: within a cell it is arbitrary which trial has which localisation score. Trials of one data seed share
their images, in all cells, so single trials are not exchangeable; data seeds are. A permutation therefore gives each
data seed all the scores of another one, in every cell at once (whole-block exchangeability: Winkler et al., NeuroImage
92, 2014), among the data seeds of a dataset that have the same number of trials in each cell. Where trials are missing
at random, few data seeds are alike in this sense, and there is no test.

Where a cell has several trials of one data seed, as along a path of strengths, their places (in order of configuration)
are permuted too: in the same way for all data seeds, and for all cells with as many places, because a strength does
much the same everywhere. Otherwise the test would condition on the effects of strengths on both scores. Several
trainings of one configuration on one data seed share their place: alike in both scores, they are not exchangeable.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.stats.rank_correlation import FISHER_D, Floats, Ints, fisher_z

MINIMUM_MOVABLE = 0.5
"""Share of trials that must be able to change places for a test."""
_BLOCK = 500_000
"""Scores moved per block, so that a block stays in the processor's cache."""


@dataclass(frozen=True)
class Exchanges:
    """Which of n trials may exchange their scores."""

    classes: tuple[Ints, ...]
    """Per class of alike data seeds, [data seeds, trials of one] the positions of their trials."""
    cells: tuple[Ints, ...]
    """Per class, [trials of a data seed] the cell of each."""
    places: tuple[Ints, ...]
    """Per class, [trials of a data seed] the place of each, in ascending order: that of its configuration."""
    n: int

    @property
    def enough(self) -> bool:
        """Whether at least half of the trials can change places; with fewer, a test has no power."""
        movable = sum(
            rows.size if len(rows) > 1 else sum(k * size for _, k, size in _exchangeable(cells, places))
            for rows, cells, places in zip(self.classes, self.cells, self.places, strict=True)
        )
        return self.n > 0 and movable >= MINIMUM_MOVABLE * self.n

    def draw(self, permutations: int, seed: int) -> Iterator[Ints]:
        """Yield blocks [permutations, n]: for each trial, the position of the trial whose score it takes."""
        rng = np.random.default_rng(seed)
        step = max(1, _BLOCK // max(self.n, 1))
        for start in range(0, permutations, step):
            size = min(step, permutations - start)
            source = np.tile(np.arange(self.n), (size, 1))
            orders: dict[int, Ints] = {}
            for rows, cells, places in zip(self.classes, self.cells, self.places, strict=True):
                seeds = rng.permuted(np.tile(np.arange(len(rows)), (size, 1)), axis=1)
                trials = np.tile(np.arange(len(cells)), (size, 1))
                for begin, k, alike in _exchangeable(cells, places):
                    if k not in orders:
                        orders[k] = rng.permuted(np.tile(np.arange(k), (size, 1)), axis=1)
                    moved = orders[k][:, :, None] * alike + np.arange(alike)
                    trials[:, begin : begin + k * alike] = begin + moved.reshape(size, -1)
                moved = rows[seeds[:, :, None], trials[:, None, :]]
                source[:, rows.ravel()] = moved.reshape(size, -1)
            yield source


def exchanges(cell: Ints, data_seed: Ints, settings: Sequence[NDArray[np.generic]] = ()) -> Exchanges:
    """Find the trials that may change places, by the cell and the (dataset, data seed) of each.

    The settings order the trials of one cell and data seed, the most significant first; trials that are alike in all of
    them are trainings of one configuration.
    """
    order = np.lexsort([*settings[::-1], cell, data_seed])
    codes = np.stack([np.unique(key, return_inverse=True)[1] for key in (data_seed, cell, *settings)])
    place = np.empty(len(cell), dtype=np.intp)
    place[order] = np.cumsum((np.diff(codes[:, order], axis=1, prepend=-1) != 0).any(axis=0))
    alike: dict[bytes, list[Ints]] = {}
    for rows in np.split(order, np.flatnonzero(np.diff(data_seed[order])) + 1):
        # A cell belongs to one dataset, so data seeds of two datasets are never alike.
        shape = np.stack([cell[rows], place[rows] - place[rows].min(initial=len(cell))])
        alike.setdefault(shape.tobytes(), []).append(rows)
    classes = tuple(np.stack(members) for members in alike.values())
    firsts = [rows[0] for rows in classes]
    return Exchanges(classes, tuple(cell[f] for f in firsts), tuple(place[f] for f in firsts), len(cell))


def _exchangeable(cells: Ints, places: Ints) -> Iterator[tuple[int, int, int]]:
    """(first trial, places, trials per place) of each cell with several places, all with as many trials."""
    for name in np.unique(cells):
        of_cell = np.flatnonzero(cells == name)
        sizes = np.unique(places[of_cell], return_counts=True)[1]
        if len(sizes) > 1 and (sizes == sizes[0]).all():
            yield int(of_cell[0]), len(sizes), int(sizes[0])


def permuted_z(
    x: Floats,
    y: Floats,
    cell: Ints,
    groups: list[Ints],
    possible: Exchanges,
    *,
    permutations: int,
    seed: int,
) -> tuple[Floats, Floats]:
    """Fisher's z of Spearman's rho combined over cells, observed and under permutations of x.

    Args:
        x, y: [scores, n] and [n], none missing.
        cell: [n] in ascending order.
        groups: for each result, the cells to combine.
        possible: from `exchanges` of the same trials.

    Returns:
        (z [scores, groups], z [scores, groups, permutations]); NaN for a group in which no cell has a rho.
    """
    starts = np.flatnonzero(np.append(True, np.diff(cell) != 0))
    names, sizes = cell[starts], np.diff(np.append(starts, len(cell)))
    scaled_x = np.stack([_scaled(column, cell, starts, sizes) for column in x])
    scaled_y = _scaled(y, cell, starts, sizes)
    usable = (np.add.reduceat(scaled_x**2, starts, axis=1) > 0.5) & (np.add.reduceat(scaled_y**2, starts) > 0.5)
    weights = np.where(usable, np.maximum(sizes - FISHER_D["spearman"], 0), 0).astype(float)
    member = np.stack([np.isin(names, group) for group in groups]).astype(float)

    def combined(values: Floats, score: int) -> Floats:
        """[groups, permutations] combined z from [permutations, n] products of scaled ranks."""
        z = fisher_z(np.add.reduceat(values, starts, axis=1))
        share = member * weights[score]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((share @ z.T) / share.sum(axis=1, keepdims=True))

    observed = np.stack([combined((s * scaled_y)[None], i)[:, 0] for i, s in enumerate(scaled_x)])
    blocks = [
        np.stack([combined(s.take(source) * scaled_y, i) for i, s in enumerate(scaled_x)])
        for source in possible.draw(permutations, seed)
    ]
    return observed, np.concatenate(blocks, axis=2)


def permutation_p(observed: float, permuted: Floats) -> float:
    """Two-sided p-value (1 + number of permutations with |z| at least the observed, to 1e-12) / (1 + permutations).

    The observed order counts as one of them (Phipson & Smyth, Stat. Appl. Genet. Mol. Biol. 9, 2010).
    """
    hits = int((np.abs(permuted) >= abs(observed) - 1e-12).sum())
    return (hits + 1) / (len(permuted) + 1)


def _scaled(values: Floats, cell: Ints, starts: Ints, sizes: Ints) -> Floats:
    """Midranks within cells, centred and of unit length, so that a sum of products is rho; 0 if constant."""
    ranks = pd.Series(values).groupby(cell).rank().to_numpy()
    centred = ranks - np.repeat((sizes + 1) / 2, sizes)
    length = np.sqrt(np.add.reduceat(centred**2, starts))
    return np.asarray(centred / np.repeat(np.where(length > 0, length, 1.0), sizes))
