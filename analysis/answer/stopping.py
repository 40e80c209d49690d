"""Whether a sweep that runs until it is answered goes on after a look, and how long it is expected to run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from scipy import stats

from analysis.answer.answer import comparisons_of
from analysis.answer.cells import Data
from analysis.answer.combine import CELL_VALUES, Comparison
from analysis.answer.looks import HOPELESS, level_at, shares_of
from analysis.answer.verdict import SMALLEST_EFFECT
from analysis.stats.alpha_spending import nominal_level
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.stats.rank_correlation import ALPHA, FISHER_D, error_of, fisher_z
from analysis.trials.trials import Primary, Trials


@dataclass(frozen=True)
class Decision:
    """What follows from a look."""

    end: Literal["answered", "futile", "complete"] | None
    """Why the sweep ends; None if it goes on."""
    comparisons: tuple[Comparison, ...]
    powers: Mapping[str, float | None]
    """By undecided comparison, the probability that the whole plan decides it; None without an interval."""


def decide(trials: Trials, smallest_effect: float = SMALLEST_EFFECT) -> Decision:
    """Whether the sweep ends at its latest look: all comparisons are decided, or the plan can hardly decide the others.

    Futility is not binding: a sweep that goes on all the same keeps its level.
    """
    looks, shares, primary = trials.looks, shares_of(trials), trials.primary or Primary()
    planned = looks.planned if looks else ()
    whole = (*shares, *(n / planned[-1] for n in planned if n / planned[-1] > shares[-1]))
    resamples = draw_resamples(trials.table, replicates=1, seed=0)
    comparisons = comparisons_of(trials, primary, resamples, smallest_effect=smallest_effect)
    powers: dict[str, float | None] = {}
    for result in comparisons:
        if result.answer != "undecided":
            continue
        fixed = 0.0
        if result.standard_error is not None:
            # Other settings, methods and training seeds would give other values, however many data seeds there are.
            data = Data(trials.table, primary.column, primary.outcome, resamples, 0)
            fixed = sum(variance for variance, _ in CELL_VALUES[result.comparison](data).shifted.fixed)
        powers[result.comparison] = conditional_power(result, fixed, shares[-1], nominal_level(whole), smallest_effect)
    if not powers:
        return Decision("answered", comparisons, powers)
    if shares[-1] == 1:
        return Decision("complete", comparisons, powers)
    is_futile = all((power or 0.0) < HOPELESS for power in powers.values())
    return Decision("futile" if is_futile else None, comparisons, powers)


def conditional_power(
    result: Comparison, fixed: float, share: float, level: float, smallest_effect: float
) -> float | None:
    """The probability that the whole plan decides a comparison if its estimate so far is true; None without interval.

    The present estimate, from this share of the data seeds, and the whole plan's differ by a normal law of variance
    share (1 − share) V, with V the variance by data seeds (stochastic curtailment: Lan, Simon & Halperin, Commun. Stat.
    C 1, 1982). The whole plan's variance is share V plus `fixed`, which more data seeds do not lower.
    """
    if result.estimate is None or result.standard_error is None or result.df is None:
        return None
    variance = result.standard_error**2 - fixed
    spread = math.sqrt(max(share * (1 - share) * variance, 1e-12))
    law = stats.norm(float(fisher_z(np.asarray(result.estimate))), spread)
    df = result.df if fixed else result.df / share
    reach = float(stats.t.isf(level / 2, df)) * math.sqrt(share * variance + fixed)
    return _decided(law, reach, smallest_effect)


def _decided(law: Any, reach: float, smallest_effect: float) -> float:
    """The probability that an interval of this half-width around an estimate of this law decides a word."""
    limit = float(np.arctanh(smallest_effect))
    no = max(law.cdf(limit - reach) - law.cdf(reach - limit), 0.0)
    return float(law.sf(limit + reach) + law.cdf(-limit - reach) + no)


def expected_data_seeds(planned: Sequence[int], rho: float, cells: Sequence[int], comparisons: int) -> float:
    """The data seeds that a sweep is expected to take if each of its comparisons has this rank correlation.

    As in the report's power, trials count as independent: rho has the error of all cells together. `planned` are the
    looks, `cells` the numbers of trials of each cell with one data seed. The first look that decides is taken as the
    last, at the level of the first step of Holm's procedure.
    """
    shares = tuple(n / planned[-1] for n in planned)
    expected = float(planned[0])
    for i, (n, following) in enumerate(pairwise(planned)):
        error = error_of(sum(max(n * size - FISHER_D["spearman"], 0) for size in cells)) or math.inf
        level = level_at(shares[: i + 1], ALPHA / comparisons)
        law = stats.norm(math.atanh(rho), error)
        expected += (following - n) * (1 - _decided(law, float(stats.t.isf(level / 2, n - 1)) * error, SMALLEST_EFFECT))
    return expected
