"""The primary with and without the trials whose model collapsed."""

from dataclasses import dataclass

import pandas as pd

from analysis.answer.answer import Analysis
from analysis.answer.correlations import within_cells
from analysis.answer.entry import Correlation
from analysis.numbers import count, with_interval
from analysis.sections.section import CORRELATIONS, Section
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.trials.trials import Primary
from records import columns


@dataclass(frozen=True)
class WithoutCollapsed:
    """The primary's correlation within cells without collapsed models.

    A model that gives every image the same answer has an AUC of about a half and a map of noise. A few of them in a
    cell make a correlation that has nothing to do with models that learnt.
    """

    n_collapsed: int
    n: int
    """Trials in all."""
    without: Correlation | None
    """The primary's rho within cells among the others; None where none collapsed or all did."""
    sentence: str


def without_collapsed(
    table: pd.DataFrame, primary: Primary, within: Correlation | None, *, replicates: int, seed: int
) -> WithoutCollapsed | None:
    """The primary among trials that did not collapse; None where the table does not record which did.

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
    share = f"{count(n_collapsed, 'model')} of {len(table):,} collapsed to one answer for all images"
    rest = table[~collapsed].reset_index(drop=True)
    if rest.empty:
        return WithoutCollapsed(n_collapsed, len(table), None, f"{share}; no other remains.")
    resamples = draw_resamples(rest, replicates=replicates, seed=seed)
    without = within_cells(rest, primary.column, primary.outcome, resamples, seed=seed)
    sentence = f"{share}. Without them the correlation within cells is {_words(without)}, with them {_words(within)}."
    return WithoutCollapsed(n_collapsed, len(table), without, sentence)


def _words(entry: Correlation) -> str:
    return f"undefined ({entry.reason})" if entry.estimate is None else with_interval(entry)


def _compute(analysis: Analysis) -> WithoutCollapsed | None:
    within = analysis.find("within_cell")
    options = {"replicates": analysis.replicates, "seed": analysis.seed}
    return without_collapsed(analysis.trials.table, analysis.primary, within, **options)


SECTION = Section(
    key="without_collapsed",
    title="Collapsed models",
    part=CORRELATIONS,
    compute=_compute,
    sentence=lambda analysis, result: "" if result is None else result.sentence,
)
