"""Robust sign error: how often the score orders two configurations wrongly, in the worst case over settings."""

from collections import Counter
from dataclasses import dataclass, replace
from itertools import cycle

import numpy as np
import pandas as pd

from analysis.answer.answer import Analysis
from analysis.numbers import column_name, count, number, percent
from analysis.sections import drawing
from analysis.sections.section import OTHER_WAYS, Section, absent_column, left_out
from analysis.sections.table import REASON, Column, Table, decimals, words
from analysis.stats.rank_correlation import Floats
from analysis.trials.design import AxisPoints, axis_points, design_of, n_pairs_within, pairs_within
from analysis.trials.scores import proportion_of

MINIMUM_WEIGHT = 0.5
"""Pairs with less confidence than this have no weight; others lose as much."""
MINIMUM_SIZE = 12
"""Smallest effective number of pairs of an environment."""
GRID = tuple(i / 50 for i in range(51))
"""Points at which the distribution function is reported."""
FEW_PAIRS = f"fewer than {MINIMUM_SIZE} pairs of trials"
SMALL = f"effective number of pairs under {MINIMUM_SIZE}"


@dataclass(frozen=True)
class SignErrors:
    """The sign errors of the environments of one axis, or of all; None, with a reason, where none is kept."""

    axis: str | None
    """None for all axes together."""
    n_environments: int
    n_kept: int
    dropped: dict[str, int]
    """Environments left out, counted by reason."""
    mean: float | None = None
    p90: float | None = None
    maximum: float | None = None
    """The robust sign error."""
    distribution: tuple[tuple[float, float], ...] = ()
    """(error, share of the environments with at most this error) at 0, .02, …, 1."""
    reason: str | None = None


@dataclass(frozen=True)
class SignError:
    """Sign errors overall and per axis."""

    score: str
    outcome: str
    """The column whose order is to be predicted: accuracy in place of AUC."""
    n: int
    """Trials with the score, the outcome and a known number of test images."""
    n_missing: int
    overall: SignErrors
    axes: tuple[SignErrors, ...]
    reason: str | None = None


def sign_error(table: pd.DataFrame, score: str, outcome: str) -> SignError:
    """The weighted share of trial pairs that score mu and outcome g order differently, per environment, in [0, 1].

    An environment is a pair of configurations that differ in exactly one axis, and holds all pairs of a trial of the
    one with a trial of the other. A pair's loss is l = (1 − sgn(mu_1 − mu_2) sgn(g_1 − g_2)) / 2, so that a tie in
    either counts one half. Its weight is w = max(0, max(0, 1 − phi)² − 1/2) with phi = 2 exp(−2 n (|g_1 − g_2| / 2)²),
    Hoeffding's bound on a wrong sign of g_1 − g_2 with n test images (the fewer of the two trials'). The environment's
    error is sum w l / sum w; it is kept if (sum w)² / sum w² is 12 or more. The maximum over environments is the
    robust sign error.

    Source: Dziugaite et al., In search of robust measures of generalization, NeurIPS 2020, arXiv 2010.11924, sections
    3-4. A pair counts only if its outcomes differ by more than sqrt(3.84 / n): .17 with 128 images, .044 with 2,000.
    All trials share one test set, which makes the weights conservative. The bound needs a mean over images: g is the
    accuracy on the outcome's split (see `proportion_of`). Trials without score, outcome or n are left out and counted.
    """
    proportion = proportion_of(table, outcome)
    reason = absent_column(table, [score]) or proportion.reason
    if reason is not None or proportion.column is None:
        nothing = SignErrors(None, 0, 0, {}, reason=reason)
        return SignError(score, proportion.column or outcome, 0, len(table), nothing, (), reason)
    scores = table[[score, proportion.column]].to_numpy(dtype=np.float64)
    rows = np.flatnonzero(np.isfinite(scores).all(axis=1) & np.isfinite(proportion.n))
    design = design_of(table.iloc[rows])
    mu, g = scores[rows].T
    by_axis = {a: _errors(axis_points(design, a), mu, g, proportion.n[rows]) for a in design.axes}
    errors, dropped = zip((np.empty(0), Counter[str]()), *by_axis.values(), strict=True)
    overall = _summary(None, np.concatenate(errors), sum(dropped, Counter[str]()))
    axes = tuple(_summary(axis, *of_axis) for axis, of_axis in by_axis.items())
    return SignError(score, proportion.column, len(rows), len(table) - len(rows), overall, axes, overall.reason)


def pair_weights(difference: Floats, n: Floats) -> Floats:
    """w of pairs whose outcomes differ by `difference` on n test images each, in [0, 1/2]."""
    phi = 2 * np.exp(-2 * n * (np.abs(difference) / 2) ** 2)
    return np.asarray(np.maximum(0.0, np.maximum(0.0, 1 - phi) ** 2 - MINIMUM_WEIGHT))


def _errors(points: AxisPoints, mu: Floats, g: Floats, n: Floats) -> tuple[Floats, Counter[str]]:
    """The errors of the environments kept, and the others counted by reason."""
    sizes = np.bincount(points.point, minlength=len(points.cell))
    trials = np.split(np.argsort(points.point, kind="stable"), np.cumsum(sizes)[:-1])
    able = np.flatnonzero(sizes * sizes.max(initial=0) >= MINIMUM_SIZE)
    first, second = (able[positions] for positions in pairs_within(points.cell[able]))
    large = np.flatnonzero(sizes[first] * sizes[second] >= MINIMUM_SIZE)
    errors = []
    for i, j in zip(first[large], second[large], strict=True):
        a, b = trials[i][:, None], trials[j]
        difference = g[a] - g[b]
        weight = pair_weights(difference, np.minimum(n[a], n[b]))
        loss = (1 - np.sign(mu[a] - mu[b]) * np.sign(difference)) / 2
        total = weight.sum()
        # The tolerance lets an environment of exactly 12 equal pairs in.
        if total > 0 and total**2 >= MINIMUM_SIZE * (weight**2).sum() * (1 - 1e-9):
            errors.append((weight * loss).sum() / total)
    dropped = Counter({FEW_PAIRS: n_pairs_within(points.cell) - len(large), SMALL: len(large) - len(errors)})
    return np.asarray(errors), +dropped  # without the zeros


def _summary(axis: str | None, errors: Floats, dropped: Counter[str]) -> SignErrors:
    result = SignErrors(axis, len(errors) + dropped.total(), len(errors), dict(dropped))
    if not len(errors):
        unusable = "; ".join(f"{n:,}: {why}" for why, n in dropped.items())
        reason = f"no pair of configurations can be used ({unusable})"
        return replace(result, reason=reason if dropped else "no two configurations differ in one setting alone")
    shares = [float(np.mean(errors <= error + 1e-9)) for error in GRID]
    return replace(
        result,
        mean=float(errors.mean()),
        p90=float(np.quantile(errors, 0.9)),
        maximum=float(errors.max()),
        distribution=tuple(zip(GRID, shares, strict=True)),
    )


def _sentence(analysis: Analysis, result: SignError) -> str:
    overall, missing = result.overall, left_out(result.n, result.n_missing)
    if overall.mean is None or overall.maximum is None:
        return f"Not estimated: {overall.reason}.{missing}"
    return (
        f"For two configurations that differ in one setting, the map picks the worse one in {percent(overall.mean)} "
        f"of the pairs that the test images can tell apart, and in {percent(overall.maximum)} at worst; a coin toss "
        f"does in 50\u00a0%. {overall.n_kept:,} of {count(overall.n_environments, 'pair')} of configurations could be "
        f"used.{missing}"
    )


def _figure(result: SignError) -> drawing.Drawing | None:
    errors = [part for part in (result.overall, *result.axes) if part.mean is not None]
    if not errors:
        return None
    with drawing.settings():
        figure = drawing.new_figure(4.2)
        axes = figure.subplots()
        axes.axvline(0.5, color=drawing.MUTED, linewidth=0.9)
        axes.annotate("a coin", (0.5, 1.0), xytext=(3, 3), textcoords="offset points", color=drawing.MUTED, fontsize=8)
        looks = zip(cycle(drawing.PALETTE[1:]), cycle(drawing.DASHES), strict=False)
        for part in errors:
            (colour, dash), width = (next(looks), 1.5) if part.axis else ((drawing.INK, "-"), 2.2)
            x, y = zip(*part.distribution, strict=True)
            label = f"{_setting(part)}: mean {number(part.mean)}"
            axes.step(x, y, where="post", label=label, color=colour, linestyle=dash, linewidth=width)
        axes.set(xlim=(-0.01, 1.01), ylim=(0, 1.01))
        axes.set_xlabel("sign error: share of pairs of trials that the map orders wrongly")
        axes.set_ylabel("share of pairs of configurations\nwith at most this error")
        drawing.legend_below(figure, axes.get_legend_handles_labels()[0], columns=4)
    numbers = [f"{_setting(part)}: mean {number(part.mean)}, worst {number(part.maximum)}" for part in errors]
    return drawing.Drawing(
        caption=(
            "Each line climbs from the pairs of configurations that the map orders best to those it orders worst. An "
            "uninformative score climbs at the coin."
        ),
        alt=f"Distribution functions of the sign error, one line per setting. {'; '.join(numbers)}.",
        figure=figure,
    )


def _setting(part: SignErrors) -> str:
    return "all settings" if part.axis is None else column_name(part.axis)


def _table(result: SignError) -> Table:
    return Table(
        caption=(
            "The share of pairs of trials, from two configurations that differ in this setting alone, that map score "
            f"and {column_name(result.outcome)} order differently: mean, 90th percentile and worst pair of "
            "configurations. Pairs with too little weight are not used."
        ),
        columns=(
            words("axis", "what changes", lambda part: part.axis or "all", text=column_name),
            decimals("mean", "mean"),
            decimals("p90", "90 %"),
            decimals("max", "worst", "maximum"),
            Column("n_kept", "used"),
            Column("n_environments", "pairs"),
            REASON,
        ),
        rows=(result.overall, *result.axes),
        strong=True,
        fold=0,
    )


SECTION = Section(
    key="sign_error",
    title="How often does the map point the wrong way?",
    part=OTHER_WAYS,
    compute=lambda analysis: sign_error(*analysis.data),
    sentence=_sentence,
    figures=lambda analysis, result: [_figure(result)],
    tables=lambda analysis, result: [_table(result)],
    method=lambda analysis, result: {
        "Sign error": (
            "One setting at a time, asked of pairs of trials and weighted by how surely the test images tell their "
            "accuracies apart (Dziugaite et al. 2020)."
        )
    },
    reported=lambda analysis, result: (
        "" if result.overall.mean is None else "the robust sign error with Hoeffding weights (Dziugaite et al. 2020)"
    ),
)
