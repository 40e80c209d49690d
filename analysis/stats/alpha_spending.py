"""The level of each look at data that grow, so that all looks together err at a given level.

A spending function says how much of the level the looks up to a share t of the data may use (Lan & DeMets, Biometrika
70, 1983). The one here is their O'Brien-Fleming type, for each side of a two-sided test at half of its level: a side at
level a may use 2 − 2 Φ(z / sqrt(t)), with z the quantile of 1 − a / 2.
"""

import math
from functools import cache

import numpy as np
from scipy import optimize, stats

from analysis.stats.rank_correlation import ALPHA, Floats

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(400)
_BEYOND = 40.0
"""Bound of the search for a boundary, in standard errors."""


def spent(share: float, alpha: float = ALPHA) -> float:
    """The two-sided level that looks up to this share of the data may use."""
    return float(4 * stats.norm.sf(stats.norm.isf(alpha / 4) / math.sqrt(share)))


def _excess(z: float, scale: float, at: Floats, density: Floats, step: float, allowed: float) -> float:
    """The probability of a path beyond ±z · scale, given its density at these points, less the allowed one."""
    beyond = stats.norm.sf((z * scale - at) / step) + stats.norm.sf((z * scale + at) / step)
    return float(density @ beyond) - allowed


@cache
def nominal_level(shares: tuple[float, ...], alpha: float = ALPHA) -> float:
    """The two-sided level of the last of the looks at these shares of the data, which ascend to at most 1.

    Sums over the data are a Brownian motion at times t. Its density among paths that no earlier look has stopped is
    integrated from look to look (Armitage, McPherson & Rowe, J. R. Stat. Soc. A 132, 1969).
    """
    at, density, before, used, z = np.zeros(1), np.ones(1), 0.0, 0.0, math.inf
    for share in shares:
        step = math.sqrt(share - before)
        allowed = spent(share, alpha) - used
        known = (math.sqrt(share), at, density, step, allowed)
        z = float(optimize.brentq(_excess, 0.0, _BEYOND, known, xtol=1e-10))
        bound = z * math.sqrt(share)
        nodes = bound * _NODES
        law = stats.norm.pdf((nodes[:, None] - at) / step) / step
        # Each density holds its weights of integration.
        at, density = nodes, (law @ density) * bound * _WEIGHTS
        before, used = share, spent(share, alpha)
    return float(2 * stats.norm.sf(z))
