"""The primary without the trials whose model collapsed, beside the one with them."""

from dataclasses import dataclass

import pandas as pd

from analysis.answer.correlations import within_cells
from analysis.answer.entry import Correlation
from analysis.report.numbers import count, interval, number
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.trials.trials import Primary
from records import columns


@dataclass(frozen=True)
class WithoutCollapsed:
    """The comparison: a model that answers every image alike has an AUC of about a half and a map of noise, and some of
    them in a cell are enough for a correlation that says nothing about models that learnt."""

    n_collapsed: int
    n: int
    """Trials in all."""
    without: Correlation | None
    """The primary's rho within cells among the others; None where none collapsed or no trial is left."""
    sentence: str


def without_collapsed(
    table: pd.DataFrame, primary: Primary, within: Correlation | None, *, replicates: int, seed: int
) -> WithoutCollapsed | None:
    """The primary among trials that did not collapse; None where the table does not say which did.

    Args:
        table: trials, as in `Trials.table`, with the column `collapsed` if it is known.
        within: the primary's rho within cells over all trials.
        replicates, seed: of the bootstrap and the permutations.
    """
    if columns.COLLAPSED not in table or primary.column not in table or within is None:
        return None
    collapsed = table[columns.COLLAPSED].to_numpy(dtype=bool)
    n_collapsed = int(collapsed.sum())
    if n_collapsed == 0:
        return WithoutCollapsed(0, len(table), None, "No model collapsed to one answer for all images.")
    told = f"{count(n_collapsed, 'model')} of {len(table):,} collapsed to one answer for all images"
    rest = table[~collapsed].reset_index(drop=True)
    if rest.empty:
        return WithoutCollapsed(n_collapsed, len(table), None, f"{told}; no other is left.")
    resamples = draw_resamples(rest, replicates=replicates, seed=seed)
    without = within_cells(rest, primary.column, primary.outcome, resamples, seed=seed)
    sentence = f"{told}. Without them the correlation within cells is {_told(without)}, with them {_told(within)}."
    return WithoutCollapsed(n_collapsed, len(table), without, sentence)


def _told(entry: Correlation) -> str:
    if entry.estimate is None:
        return f"undefined ({entry.reason})"
    return f"{number(entry.estimate)} ({interval(entry.ci_low, entry.ci_high)})"
