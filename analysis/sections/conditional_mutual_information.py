"""Normalised conditional mutual information between the order of a score and the order of the outcome."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import special

from analysis.answer.answer import Analysis
from analysis.numbers import column_name, percent
from analysis.sections.granulated_kendall import SAME_SEEDS
from analysis.sections.section import OTHER_WAYS, Section, absent_column, if_estimated, known_rows
from analysis.sections.table import Column, Table, decimals, p_values, words
from analysis.stats.rank_correlation import Floats
from analysis.trials.design import Codes, design_of

MOST_AXES = 2
"""Axes conditioned on at most."""
MOST_CONFIGURATIONS = 1500
"""Beyond it the pairs (2 million) are too many to list."""
MINIMUM_PAIRS = 90
"""Fewest ordered pairs, those of 10 configurations."""
MINIMUM_IN_GROUP = 5
"""Fewest pairs per group on average for a set of axes to take part in the minimum."""
PERMUTATIONS, FEWEST_PERMUTATIONS = 99, 19
_MOST_COMPARED = 100_000_000  # pairs x permutations; beyond it fewer permutations are drawn
_DECIMALS = 12  # equal means are equal to the last bit


@dataclass(frozen=True)
class Conditioning:
    """The information given the two configurations' values on some axes."""

    axes: tuple[str, ...]
    information: float
    """I(S), in nats."""
    entropy: float
    """H(S), in nats."""
    ratio: float | None
    """I(S) / H(S) in [0, 1]; None where H is zero."""
    n_cells: int
    """Pairs of value combinations that occur."""
    chance: float | None = None
    """Mean of the ratio with the scores permuted among configurations alike on these axes."""
    excess: float | None = None
    """The ratio less that."""
    p_value: float | None = None
    """Share of the permutations, the observed order included, with at least this information."""
    association: float | None = None
    """Correlation of the two orders within groups of pairs, in [−1, 1]: its sign is that of the association."""
    reason: str | None = None
    """Why these axes take no part in the minimum."""


@dataclass(frozen=True)
class ConditionalMutualInformation:
    """The smallest excess over chance and every I(S) / H(S); None, with a reason, where undefined."""

    score: str
    outcome: str
    estimate: float | None = None
    """The smallest excess of I(S) / H(S) over its mean under permutation."""
    n: int = 0
    """Trials with both scores."""
    n_configurations: int = 0
    n_pairs: int = 0
    """Ordered pairs of distinct configurations of one dataset."""
    conditionings: tuple[Conditioning, ...] = ()
    reason: str | None = None
    interval_reason: str = "information is biased upward in every resample, so a bootstrap interval would not cover it"
    raw: float | None = None
    """The smallest I(S) / H(S), as Jiang et al. define it; chance alone makes it positive."""
    p_value: float | None = None
    """The largest over the sets of axes: small only where the score informs whatever is known."""

    @property
    def least(self) -> Conditioning | None:
        """The set of axes with the smallest excess."""
        usable = [part for part in self.conditionings if part.reason is None]
        return min(usable, key=lambda part: part.excess or 0.0, default=None)


def conditional_mutual_information(
    table: pd.DataFrame, score: str, outcome: str, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> ConditionalMutualInformation:
    """min over sets S of at most two axes of I(V_mu; V_g | S) / H(V_g | S), less its mean by chance.

    Over ordered pairs of distinct configurations of one dataset, scores averaged over seeds first, V_mu = 1[mu_1 >
    mu_2] and V_g = 1[g_1 > g_2]: a tie counts as "not greater". The group u of a pair is the values of both
    configurations on S, with n_u of the N pairs; I(S) = sum_u (n_u / N) MI_u(V_mu; V_g) and H(S) = sum_u (n_u / N)
    H_u(V_g). 0: given some S, the score's order is uninformative about the outcome's; 1: it determines it, given any S.

    Source: Jiang et al., ICLR 2020, arXiv 1912.02178, section 4, in its count-weighted form (`raw`), with two
    departures. The plain estimate of an information is positive by chance, by about 1 / (2 n_u) nats a group of
    independent pairs and by more where pairs share configurations. So the scores are permuted among the configurations
    of a dataset that are alike on S, which keeps everything but the association given S, and the mean ratio over the
    permutations is subtracted. Information has no sign; `association` gives it.

    Sets with H(S) = 0 (each pair alone in its group, or one order only) or under 5 pairs a group are reported and take
    no part in the minimum. Trials in which either score is missing are left out. Axes and configurations are those of
    analysis/trials.

    Args:
        permutations: drawn for each S; fewer, down to 19, where there are many pairs.
        seed: of the permutations.

    Returns:
        No estimate, with the reason, with fewer than 90 pairs or more than 1,500 configurations.
    """
    result = ConditionalMutualInformation(score, outcome)
    reason = absent_column(table, (score, outcome))
    if reason is not None:
        return replace(result, reason=reason)
    rows, values = known_rows(table, (score, outcome))
    design = design_of(table.iloc[rows])
    first, configuration, sizes = np.unique(
        design.configurations(), return_index=True, return_inverse=True, return_counts=True
    )[1:]
    n = len(first)
    result = replace(result, n=len(rows), n_configurations=n)
    if n > MOST_CONFIGURATIONS:
        return replace(result, reason=f"{n:,} configurations, more than {MOST_CONFIGURATIONS:,}")
    mu, g = (np.round(np.bincount(configuration, column, n) / sizes, _DECIMALS) for column in values.T)
    pairs = _Pairs(mu, g, design.dataset[first])
    result = replace(result, n_pairs=len(pairs.one))
    if len(pairs.one) < MINIMUM_PAIRS:
        return replace(result, reason=f"{len(pairs.one)} pairs of configurations, fewer than {MINIMUM_PAIRS}")
    sets = [axes for k in range(MOST_AXES + 1) for axes in itertools.combinations(design.axes, k)]
    permutations = min(permutations, max(_MOST_COMPARED // (len(pairs.one) * len(sets)), FEWEST_PERMUTATIONS))
    rng = np.random.default_rng(seed)
    conditionings = []
    for axes in sets:
        codes = np.column_stack([np.zeros(n, dtype=np.intp), *(design.codes[axis][first] for axis in axes)])
        value = np.unique(codes, axis=0, return_inverse=True)[1].ravel()
        conditionings.append(_conditioning(axes, value, pairs, permutations, rng))
    ratios = [part.ratio for part in conditionings if part.ratio is not None]
    result = replace(result, conditionings=tuple(conditionings), raw=min(ratios, default=None))
    if result.least is None:
        return replace(result, reason="the outcome is the same in all configurations")
    p_value = max(part.p_value for part in conditionings if part.p_value is not None)
    return replace(result, estimate=result.least.excess, p_value=p_value)


class _Pairs:
    """The ordered pairs of distinct configurations of one dataset."""

    def __init__(self, mu: Floats, g: Floats, dataset: Codes):
        self.dataset, self.mu = dataset, np.unique(mu, return_inverse=True)[1]
        self.one, self.two = np.nonzero((dataset[:, None] == dataset) & ~np.eye(len(dataset), dtype=bool))
        self.greater = (g[self.one] > g[self.two]).astype(np.intp)

    def counts(self, mu: Codes, group: Codes) -> Floats:
        """[groups, V_mu, V_g] numbers of pairs."""
        place = 4 * group + 2 * (mu[self.one] > mu[self.two]) + self.greater
        return np.bincount(place, minlength=4 * (int(group.max()) + 1)).reshape(-1, 2, 2).astype(np.float64)

    def permuted(self, value: Codes, rng: np.random.Generator) -> Codes:
        """[configurations] the scores, permuted among those of one dataset and value."""
        block = value * (int(self.dataset.max()) + 1) + self.dataset
        mu = np.empty_like(self.mu)
        mu[np.argsort(block, kind="stable")] = self.mu[np.lexsort((rng.random(len(block)), block))]
        return mu


def _conditioning(
    axes: tuple[str, ...], value: Codes, pairs: _Pairs, permutations: int, rng: np.random.Generator
) -> Conditioning:
    """The information given the value of both configurations."""
    group = np.unique(value[pairs.one] * (int(value.max()) + 1) + value[pairs.two], return_inverse=True)[1]
    counts = pairs.counts(pairs.mu, group)
    information, entropy = _information(counts)
    result = Conditioning(axes, information, entropy, None, len(counts))
    if entropy <= 1e-12:
        return replace(result, reason="given these the order of performance is certain")
    result = replace(result, ratio=min(1.0, information / entropy), association=_association(counts))
    if len(group) < MINIMUM_IN_GROUP * len(counts):
        return replace(result, reason=f"fewer than {MINIMUM_IN_GROUP} pairs a group")
    drawn = (pairs.counts(pairs.permuted(value, rng), group) for _ in range(permutations))
    null = np.asarray([_information(part)[0] for part in drawn])
    chance = float(null.mean() / entropy)
    p_value = float((1 + (null >= information - 1e-12).sum()) / (1 + permutations))
    return replace(result, chance=chance, excess=information / entropy - chance, p_value=p_value)


def _information(counts: Floats) -> tuple[float, float]:
    """(I, H) in nats: I = joint + all − margins, H = all − margin of g, each a sum of n log n over N."""
    parts = (counts, counts.sum(axis=(1, 2)), counts.sum(axis=2), counts.sum(axis=1))
    joint, all_, mu, g = (float(special.xlogy(part, part).sum() / counts.sum()) for part in parts)
    return max(0.0, joint + all_ - mu - g), max(0.0, all_ - g)


def _association(counts: Floats) -> float | None:
    """Pearson's correlation of V_mu and V_g within groups; None where one of them never varies there."""
    n, of_mu, of_g = counts.sum(axis=(1, 2)), counts[:, 1].sum(axis=1), counts[:, :, 1].sum(axis=1)
    covariance = float((counts[:, 1, 1] - of_mu * of_g / n).sum())
    variances = [float((part - part**2 / n).sum()) for part in (of_mu, of_g)]
    return covariance / math.sqrt(variances[0] * variances[1]) if min(variances) > 0 else None


def _sentence(analysis: Analysis, result: ConditionalMutualInformation) -> str:
    least = result.least
    if result.estimate is None or least is None:
        return f"Not estimated: {result.reason}."
    where = f"when {_known(least.axes)} of both configurations is known" if least.axes else "when nothing else is known"
    if result.estimate <= 0:
        return (
            "The order of two configurations’ map scores has no more information about which of them performs better "
            f"than chance gives, {where}."
        )
    direction = "better" if (least.association or 0.0) >= 0 else "worse"
    return (
        f"Beyond chance, the order of two configurations’ map scores has at least {percent(result.estimate, 1)} of the "
        f"information about which of them performs better; it has least {where}, and there the better map goes with "
        f"the {direction} performance. {SAME_SEEDS} so that some of it is information on seeds."
    )


def _table(result: ConditionalMutualInformation) -> Table:
    return Table(
        caption=(
            f"Over {result.n_pairs:,} ordered pairs of {result.n_configurations:,} configurations: the information (in "
            "nats) that the order of the map scores gives about the order of performance, as a share of its entropy; "
            "the share that chance gives (scores permuted among configurations alike in what is known), and what is "
            "beyond it. p is by permutation, which does not tell settings from the seeds that averages share. The "
            "smallest counts. Association: the correlation of the two orders, with its sign."
        ),
        columns=(
            words("given", "given", "axes", text=_known),
            decimals("information", "information", digits=4),
            decimals("entropy", "entropy", digits=3),
            decimals("ratio", "share", digits=3),
            decimals("chance", "by chance", digits=3),
            decimals("excess", "beyond chance", digits=3),
            p_values(),
            decimals("association", "association"),
            Column("n_cells", "groups of pairs"),
            words("reason", "not used because", text=str),
        ),
        rows=result.conditionings,
        fold=0,
    )


def _known(axes: Sequence[str]) -> str:
    return " and ".join(map(column_name, axes)) or "nothing"


SECTION = Section(
    key="conditional_mutual_information",
    title="How much does the map tell, whatever is known about the settings?",
    part=OTHER_WAYS,
    compute=lambda analysis: conditional_mutual_information(*analysis.data, seed=analysis.seed),
    sentence=_sentence,
    tables=lambda analysis, result: [_table(result)],
    reported=if_estimated(
        "the conditional mutual information of the two orders, normalised and less its mean under permutation "
        "(Jiang et al. 2020)"
    ),
)
