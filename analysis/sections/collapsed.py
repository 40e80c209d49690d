"""Models that did not learn what they should: collapsed ones, and ones far below chance on ID data."""

from collections.abc import Hashable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from analysis.answer.answer import Analysis
from analysis.answer.correlations import ID_AUC, within_cells
from analysis.answer.entry import Correlation
from analysis.numbers import count, name, number, stratum_name, with_interval
from analysis.sections.section import CORRELATIONS, Section, known_rows
from analysis.stats.cluster_bootstrap import draw_resamples
from records import columns

LEVEL = 0.05
"""Probability that noise alone puts one of all the models below the limit."""
NAMED = 5
"""Models named in the sentence; the details have all."""


@dataclass(frozen=True)
class WithoutCollapsed:
    """The primary's correlation within cells without collapsed models.

    A model that gives every image the same answer has an AUC of about one half and a map of noise. A few such models
    in a cell produce a correlation that says nothing about models that learnt.
    """

    n_collapsed: int
    n: int
    """Trials in all."""
    without: Correlation | None
    """The primary's rho within cells among the others; None where none collapsed or all did."""
    sentence: str


@dataclass(frozen=True)
class BelowChance:
    """Models that rank the classes in reverse on ID data, with an AUC below one half by more than noise.

    No cue explains this without a shift. These models stay in every correlation.
    """

    n: int
    """Trials with the AUC on the ID test set and a known number of its images."""
    models: tuple[dict[Hashable, Any], ...]
    """Key, dataset, severity, method, seed and AUC of each, the lowest AUC first."""


@dataclass(frozen=True)
class Unlearnt:
    """Both kinds of models; None where the table lacks the columns that identify them."""

    without_collapsed: WithoutCollapsed | None
    below_chance: BelowChance | None


def without_collapsed(analysis: Analysis) -> WithoutCollapsed | None:
    """The primary among trials that did not collapse; None where the table does not record which did."""
    table, primary, within = analysis.trials.table, analysis.primary, analysis.find("within_cell")
    if columns.COLLAPSED not in table or within is None:
        return None
    n, rest = len(table), table[~table[columns.COLLAPSED].astype(bool)].reset_index(drop=True)
    n_collapsed = n - len(rest)
    if n_collapsed == 0:
        return WithoutCollapsed(0, n, None, "No model collapsed to one answer for all images.")
    share = f"{count(n_collapsed, 'model')} of {n:,} collapsed to one answer for all images"
    if rest.empty:
        return WithoutCollapsed(n_collapsed, n, None, f"{share}; no other remains.")
    resamples = draw_resamples(rest, replicates=analysis.replicates, seed=analysis.seed)
    without = within_cells(rest, primary.column, primary.outcome, resamples, seed=analysis.seed)
    rhos = [f"undefined ({c.reason})" if c.estimate is None else with_interval(c) for c in (without, within)]
    sentence = f"{share}. Without them the correlation within cells is {rhos[0]}, with them {rhos[1]}."
    return WithoutCollapsed(n_collapsed, n, without, sentence)


def below_chance(table: pd.DataFrame) -> BelowChance | None:
    """The models with AUC < 1/2 − z SE on the ID test set; None where the AUC or the number of images is unknown.

    SE² = (n + 1) / (12 m (n − m)) is the variance of the AUC of an uninformative model on n images, of which m are
    of the smaller class (Hanley & McNeil, Radiology 143, 1982, for chance; that of Mann and Whitney's U). z is the
    normal quantile of .05 over the number of trials (Bonferroni). Without `test_id.n_smaller_class` the classes count
    as equal in size.
    """
    n_images, smaller = columns.images("test_id"), "test_id.n_smaller_class"
    if ID_AUC not in table or n_images not in table:
        return None
    rows, values = known_rows(table, (ID_AUC, n_images))
    auc, n = values.T
    m = n / 2
    if smaller in table:
        known = pd.to_numeric(table[smaller], errors="coerce").to_numpy(dtype=np.float64)[rows]
        m = np.where(np.isfinite(known), known, m)
    with np.errstate(divide="ignore"):
        error = np.sqrt((n + 1) / (12 * m * (n - m)))
    below = np.flatnonzero(auc < 0.5 + special.ndtri(LEVEL / max(len(auc), 1)) * error)
    kept = [c for c in ("trial_key", "dataset", "severity", "method", "seed", ID_AUC) if c in table]
    lowest_first = table.iloc[rows[below]][kept].sort_values(ID_AUC, kind="stable")
    return BelowChance(len(rows), tuple(lowest_first.to_dict("records")))


def _named(model: dict[Hashable, Any]) -> str:
    """ "RRR at crosses, s = 0.8, seed 3 (AUC 0.05)"."""
    where = stratum_name(model["dataset"], model["severity"])
    return f"{name(model['method'])} at {where}, seed {model['seed']:g} (AUC {number(model[ID_AUC])})"


def _sentence(analysis: Analysis, result: Unlearnt) -> str:
    sentences = [] if result.without_collapsed is None else [result.without_collapsed.sentence]
    below = result.below_chance
    if below is not None and below.models:
        n = len(below.models)
        more = f"; and {n - NAMED:,} more" if n > NAMED else ""
        sentences.append(
            f"{count(n, 'model')} of {below.n:,} {'is' if n == 1 else 'are'} below chance on the ID test set by more "
            f"than noise: {'; '.join(map(_named, below.models[:NAMED]))}{more}. They rank the classes in reverse "
            "although there is no shift. They stay in the correlations."
        )
    return " ".join(sentences)


def _details(analysis: Analysis, result: Unlearnt) -> list[str]:
    return [] if result.below_chance is None else list(map(_named, result.below_chance.models[NAMED:]))


SECTION = Section(
    key="unlearnt",
    title="Models that did not learn",
    part=CORRELATIONS,
    compute=lambda analysis: Unlearnt(without_collapsed(analysis), below_chance(analysis.trials.table)),
    content=asdict,
    sentence=_sentence,
    details=_details,
)
