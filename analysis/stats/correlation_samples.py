"""The samples that a table is correlated in, and Spearman's rho of each without its clusters and in their draws."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.stats.cluster_bootstrap import Resamples
from analysis.stats.correlation import Score
from analysis.stats.permutation import exchanges, permuted_z
from analysis.stats.rank_correlation import Floats
from analysis.stats.weighted_spearman import weighted_spearman
from analysis.trials.cells import Rows, Stratum, cell_rows, strata_of

Within = tuple[Score, Stratum | None]
"""Which correlation within cells: its score and stratum."""
Permuted = tuple[float, Floats]
"""Its Fisher z as it is and under permutations."""


@dataclass(frozen=True)
class Sample:
    """Trials that are correlated with one another."""

    scope: str
    dataset: str | None
    severity: float | None
    method: str | None
    rows: Rows
    kept: Rows
    """Those of the rows that have both values."""


@dataclass(frozen=True)
class Replicates:
    """One sample's rho without each of the clusters, in the bootstrap's replicates, and its sizes then."""

    deleted: Floats
    deleted_sizes: Floats
    drawn: Floats
    drawn_sizes: Floats


class Samples:
    """The samples of a table, for scores that the same trials have."""

    def __init__(self, table: pd.DataFrame, present: NDArray[np.bool_], resamples: Resamples, scopes: Sequence[str]):
        self.table, self.present, self.resamples, self.scopes = table, present, resamples, scopes
        self.cells = cell_rows(table)
        self.strata = strata_of(self.cells)
        everything = np.arange(len(table), dtype=np.intp)
        strata = {s: np.sort(np.concatenate([self.cells[c] for c in cells])) for s, cells in self.strata.items()}
        samples = {
            "pooled": [self._sample("pooled", everything)],
            "stratum": [self._sample("stratum", rows, *stratum) for stratum, rows in strata.items()],
            "cell": [self._sample("cell", rows, *cell) for cell, rows in self.cells.items()],
        }
        self.by_scope = {scope: found for scope, found in samples.items() if scope in scopes}

    def _sample(
        self,
        scope: str,
        rows: Rows,
        dataset: str | None = None,
        severity: float | None = None,
        method: str | None = None,
    ) -> Sample:
        return Sample(scope, dataset, severity, method, rows, rows[self.present[rows]])

    def replicates(self, x: Floats, y: Floats) -> list[list[dict[int, Replicates]]]:
        """Per score and scope, by the sample's place."""
        clusters = self.resamples.counts.shape[1]
        # The jackknife's small differences need double precision; the bootstrap's draws do not.
        without = 1.0 - np.eye(clusters)
        drawn = self.resamples.counts.astype(np.float32)
        found: list[list[dict[int, Replicates]]] = [[] for _ in x]
        for samples in self.by_scope.values():
            places = [i for i, sample in enumerate(samples) if len(sample.kept)]
            for own in found:
                own.append({})
            if not places:
                continue
            rows = np.concatenate([samples[i].kept for i in places])
            label = np.repeat(np.arange(len(places)), [len(samples[i].kept) for i in places])
            sample = (x[:, rows], y[rows], label, self.resamples.cluster[rows])
            (deleted, deleted_sizes), (boot, boot_sizes) = (weighted_spearman(*sample, w) for w in (without, drawn))
            for score, own in enumerate(found):
                for at, place in enumerate(places):
                    own[-1][place] = Replicates(deleted[score, at], deleted_sizes[at], boot[score, at], boot_sizes[at])
        return found

    def permuted(self, scores: Sequence[Score], x: Floats, y: Floats, seed: int) -> dict[Within, Permuted]:
        """Fisher's z within cells under permutations, where it is defined and enough trials can change places."""
        cells = list(self.cells)
        kept = [rows[self.present[rows]] for rows in self.cells.values()]
        rows = np.concatenate(kept)
        cell = np.repeat(np.arange(len(cells)), [len(part) for part in kept])
        possible = exchanges(self.table.iloc[rows], cell, self.resamples.data_seed[rows])
        if not possible.enough:
            return {}
        strata: list[Stratum | None] = [None, *self.strata]
        groups = [np.asarray([i for i, c in enumerate(cells) if s is None or c[:2] == s]) for s in strata]
        n = len(self.resamples.counts)
        observed, drawn = permuted_z(x[:, rows], y[rows], cell, groups, possible, permutations=n, seed=seed)
        return {
            (score, stratum): (float(observed[i, j]), drawn[i, j])
            for i, score in enumerate(scores)
            for j, stratum in enumerate(strata)
            if np.isfinite(observed[i, j])
        }
