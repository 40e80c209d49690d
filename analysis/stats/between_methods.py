"""Rank correlation between methods: do methods with better maps have better outcomes?"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from analysis.stats.rank_correlation import Floats, Ints, RankCorrelation

EXACT_UP_TO = 8
"""Most methods for which all orderings are enumerated."""
DRAWS = 20_000
"""Orderings drawn for more methods."""
_MINIMUM = 3  # with two methods rho is always −1 or 1


@dataclass(frozen=True, kw_only=True)
class BetweenMethods(RankCorrelation):
    """Rank correlation of the means of n methods."""

    p_value: float | None = None


def between_methods(strata: Sequence[tuple[Floats, Floats]], statistic: str, *, seed: int) -> BetweenMethods:
    """Correlation of the k methods' means, averaged over strata, with a permutation p-value.

    Null hypothesis: which method has which outcome is arbitrary, so that the methods' labels on the outcome may be
    permuted, in all strata at once. p is the share of orderings whose |average correlation| is at least the observed
    one (to 1e-12), the observed ordering included: for k = 6 and |rho| = 1 it is 2 / 720 = .0028. Up to 8 methods, all
    k! orderings are enumerated; for more, 20,000 are drawn from `seed`, and one is added to both counts.

    Args:
        strata: per stratum, ([k] mean localisation, [k] mean outcome), with the methods in the same order throughout.
        statistic: "spearman" or "kendall_tau_b".
        seed: of the drawn orderings.
    """
    k = len(strata[0][0]) if strata else 0
    if k < _MINIMUM:
        return BetweenMethods(n=k, reason=f"{k} {'method' if k == 1 else 'methods'}, fewer than {_MINIMUM}")
    for reason in (constant_means(x, y) for x, y in strata):
        if reason is not None:
            return BetweenMethods(n=k, reason=reason)
    drawn, orders = int(k > EXACT_UP_TO), _orders(k, seed)
    score = _rho_of_orders if statistic == "spearman" else _tau_of_orders
    observed = float(np.mean([score(x, y, np.arange(k)[None, :])[0] for x, y in strata]))
    permuted = np.mean([score(x, y, orders) for x, y in strata], axis=0)
    hits = int((np.abs(permuted) >= abs(observed) - 1e-12).sum())
    p_value = (hits + drawn) / (len(orders) + drawn)
    return BetweenMethods(estimate=max(-1.0, min(1.0, observed)), n=k, p_value=p_value)


def constant_means(x: Floats, y: Floats) -> str | None:
    """Why the correlation of method means is undefined, or None where it is defined."""
    constant = [name for name, means in (("localisation", x), ("outcome", y)) if np.ptp(means) == 0]
    return f"constant {' and '.join(constant)} over the methods" if constant else None


def method_means(values: Floats, groups: Sequence[Ints]) -> Floats:
    """[methods] means of each method's trials, rounded to 12 decimals so that equal means are equal bit for bit."""
    return np.asarray([np.round(values[rows].mean(), 12) for rows in groups])


@lru_cache(maxsize=EXACT_UP_TO)
def _orders(k: int, seed: int) -> Ints:
    if k <= EXACT_UP_TO:
        return np.asarray(list(itertools.permutations(range(k))), dtype=np.intp)
    return np.random.default_rng([seed, k]).permuted(np.tile(np.arange(k), (DRAWS, 1)), axis=1)


def _rho_of_orders(x: Floats, y: Floats, orders: Ints) -> Floats:
    rank_x, rank_y = stats.rankdata(x), stats.rankdata(y)
    dx, dy = rank_x - rank_x.mean(), rank_y - rank_y.mean()
    return np.asarray(dy[orders] @ dx / math.sqrt(float(dx @ dx) * float(dy @ dy)))


def _tau_of_orders(x: Floats, y: Floats, orders: Ints) -> Floats:
    first, second = np.triu_indices(len(x), 1)
    sign_x = np.sign(x[first] - x[second])
    permuted = y[orders]
    sign_y = np.sign(permuted[:, first] - permuted[:, second])
    untied = float(np.abs(sign_x).sum()) * float(np.abs(sign_y[0]).sum())
    return np.asarray(sign_y @ sign_x / math.sqrt(untied))
