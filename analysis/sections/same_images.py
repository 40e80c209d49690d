"""For two trainings that differ in the training seed alone: is the one with the better map the better one?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from analysis.answer.answer import Analysis
from analysis.answer.cells import SMALLEST_SPREAD
from analysis.answer.given_id import CONTROL
from analysis.numbers import column_name, count, name, percent
from analysis.sections import drawing
from analysis.sections.section import OTHER_WAYS, Section, absent_column, if_estimated, no_interval
from analysis.sections.table import REMARK, SCOPE, Column, Table, estimates, words
from analysis.stats.rank_correlation import Floats, Ints
from analysis.stats.replicated import Estimate, Replicated, sums
from analysis.trials.design import Rows, design_of, pairs_within
from analysis.trials.trials import UNKNOWN_DATA_SEEDS

COIN = 0.5
APART = (0.0, SMALLEST_SPREAD)
"""Least difference of the two outcomes: all pairs, and pairs in which one model is clearly better."""
_ROUNDING = 1e-9  # 0.58 − 0.57 is less than 0.01


@dataclass(frozen=True, kw_only=True)
class Concordance(Estimate):
    """Share of pairs in which the trial with the better score has the better outcome, in [0, 1]; a tie counts half."""

    score: str
    """The column by which a trial is chosen: the primary's, or validation AUC."""
    images: str
    """`same`: one data seed, two training seeds; `other`: two data seeds, any training seeds."""
    apart: float
    """Least difference of the two outcomes."""
    dataset: str | None = None
    """None for all strata with a shift."""
    severity: float | None = None
    method: str | None = None
    n: int = 0
    n_clusters: int = 0
    """Data seeds, or groups of them where there are more than 500."""


def same_images(analysis: Analysis) -> tuple[Concordance, ...]:
    """Over all methods, on the same and on other images; then by method and by stratum, on the same images.

    A pair is two trials of one configuration in a stratum with a shift, both with score and outcome. With p the share,
    Kendall's tau-a of the pairs (Biometrika 30, 1938) is 2 p − 1. The interval is by the delete-one-data-seed
    jackknife, cut to [0, 1]; without a data seed, all pairs with one of its trials drop out. Entries without a pair are
    left out; if no pair has the same images, a single entry has the reason.
    """
    table, score, outcome = analysis.data
    scores = [name for name in (score, CONTROL) if name == score or (name in table and name != outcome)]
    reason = absent_column(table, [score]) if analysis.trials.data_seeds_known else UNKNOWN_DATA_SEEDS
    configuration = design_of(table).configurations()
    rows = np.flatnonzero(table["severity"] > 0)
    rows = rows[np.argsort(configuration[rows], kind="stable")]
    if reason is None and table[["data_seed"]].assign(configuration=configuration).iloc[rows].duplicated().any():
        first, second = (rows[positions] for positions in pairs_within(configuration[rows]))
        entries = tuple(_entries(analysis, scores, first, second))
        if entries and (entries[0].images, entries[0].score) == ("same", score):
            return entries
    reason = reason or "no two scored trials under a shift have the same configuration and data seed"
    return (Concordance(score=score, images="same", apart=APART[0], reason=reason),)


def _entries(analysis: Analysis, scores: Sequence[str], first: Rows, second: Rows) -> Iterator[Concordance]:
    table, _, outcome = analysis.data
    clusters, dataset = analysis.resamples.cluster, analysis.resamples.dataset
    values = table[[*scores, outcome]].to_numpy(dtype=np.float64)
    difference = values[first] - values[second]
    concordant = (1 + np.sign(difference) * np.sign(difference[:, -1:])) / 2
    is_same = analysis.resamples.data_seed[first] == analysis.resamples.data_seed[second]
    shifted = table[table["severity"] > 0]
    strata = sorted(set(shifted[["dataset", "severity"]].itertuples(index=False, name=None)))
    places: list[tuple[str, dict[str, Any]]] = [("same", {}), ("other", {})]
    places += [("same", {"method": method}) for method in drawing.in_order(shifted["method"])]
    places += [("same", {"dataset": d, "severity": s}) for d, s in strata]
    for (images, place), apart, (column, score) in product(places, APART, enumerate(scores)):
        kept = np.isfinite(concordant[:, column]) & (is_same == (images == "same"))
        kept &= np.abs(difference[:, -1]) >= apart - _ROUNDING
        for axis, level in place.items():
            kept &= (table[axis] == level).to_numpy()[first]
        if kept.any():
            one, other = clusters[first[kept]], clusters[second[kept]]
            n_pairs = _over_pairs(np.ones(len(one)), one, other, dataset)
            share: Replicated = _over_pairs(concordant[kept, column], one, other, dataset) / n_pairs
            n_clusters = int(share.present.sum())
            entry = Concordance(score=score, images=images, apart=apart, n=len(one), n_clusters=n_clusters, **place)
            if share.no_interval is None and np.ptp(share.values[1:][share.present]) == 0:
                same = "the share is the same without any one of the data seeds"
                yield replace(entry, estimate=share.whole, interval_reason=same)
            else:
                yield entry.of(share, low=0.0, high=1.0)


def _over_pairs(values: Floats, one: Ints, other: Ints, dataset: Ints) -> Replicated:
    """The sum over pairs; without a data seed, those with one of its trials drop out."""
    of_other = values * (one != other)
    both: Replicated = sums(values, one, dataset) + sums(of_other, other, dataset) - of_other.sum()
    return both


def _share(entry: Concordance) -> str:
    """ "61.2 % (55.0 % to 67.4 %) of 190 pairs"."""
    bounds = "" if entry.ci_low is None else f" ({percent(entry.ci_low, 1)} to {percent(entry.ci_high, 1)})"
    return f"{percent(entry.estimate, 1)}{bounds} of {count(entry.n, 'pair')}"


def _sentence(analysis: Analysis, result: tuple[Concordance, ...]) -> str:
    same = result[0]
    if same.estimate is None:
        return f"Not estimated: {same.reason}."
    outcome, validation = column_name(analysis.primary.outcome), column_name(CONTROL)
    which, low, high = "has", same.ci_low, same.ci_high
    if low is not None and high is not None:
        seen = "is" if low > COIN or high < COIN else "is not seen to be"
        which = f"{seen} the {'worse' if high < COIN else 'better'} one more often: it has"
    texts = {
        ("same", APART[0], analysis.primary.column): f"For two trainings on the same images, the one with the better "
        f"map {which} the better {outcome} in {{}} under a shift; ties count half, and chance is 50\u00a0%.",
        ("same", APART[0], CONTROL): f"The one with the better {validation} has it in {{}}.",
        ("same", APART[1], analysis.primary.column): f"Where their {outcome} differs by at least {APART[1]:g}, the map "
        "picks the better in {}.",
        ("same", APART[1], CONTROL): f"There {validation} picks it in {{}}.",
        ("other", APART[0], analysis.primary.column): "For two trainings of one configuration on different images, the "
        "map picks it in {}.",
    }
    shares = {(e.images, e.apart, e.score): _share(e) for e in result if e.dataset is None and e.method is None}
    sentences = [text.format(shares[key]) for key, text in texts.items() if key in shares]
    return " ".join(sentences) + no_interval([same])


def _figure(analysis: Analysis, result: tuple[Concordance, ...]) -> drawing.Drawing | None:
    looks = {
        analysis.primary.column: (drawing.PALETTE[2], "o", "choose by the map"),
        CONTROL: (drawing.PALETTE[1], "s", f"choose by {column_name(CONTROL)}"),
    }
    rows: dict[str, list[drawing.Mark]] = {}
    for entry in result:
        if entry.estimate is not None and entry.apart == APART[0] and entry.dataset is None:
            row = f"{entry.images} images" if entry.method is None else name(entry.method)
            rows.setdefault(row, []).append(drawing.Mark(entry, *looks[entry.score]))
    return drawing.forest(
        {"share of pairs in which the choice is the better model": rows},
        caption=(
            f"Share of pairs in which the trial with the better map ({analysis.primary_name}) or validation AUC has "
            f"the better {column_name(analysis.primary.outcome)}. Rows of methods have pairs on the same images. The "
            "line is chance."
        ),
        alt="Dots with intervals",
        reference=COIN,
    )


def _table(analysis: Analysis, result: tuple[Concordance, ...]) -> Table:
    return Table(
        caption=(
            "Share of pairs of trials of one configuration in which the one with the better score has the better "
            f"{column_name(analysis.primary.outcome)}; Kendall’s τ is twice the share less 1. Apart: by how much their "
            "outcomes differ."
        ),
        columns=(
            words("images", "images"),
            *SCOPE,
            words("score", "choose by", text=lambda s: "the map" if s == analysis.primary.column else column_name(s)),
            Column("apart", "apart", lambda apart: f"{apart:g} or more" if apart else "any"),
            *estimates("share", "share", digits=3),
            Column("n", "pairs"),
            Column("n_clusters", "data seeds"),
            REMARK,
        ),
        rows=result,
        group=4,
        fold=0,
    )


SECTION = Section(
    key="same_images",
    title="Of two trainings on the same images, is the one with the better map the better one?",
    part=OTHER_WAYS,
    compute=same_images,
    sentence=_sentence,
    figures=lambda analysis, result: [_figure(analysis, result)],
    tables=lambda analysis, result: [_table(analysis, result)],
    method=lambda analysis, result: {
        "Pairs on the same images": (
            "Trials of one configuration differ in their images (data seed) and in initialisation and order of "
            "training (training seed). Pairs with the same data seed differ in the latter alone."
        )
    },
    reported=if_estimated("the share of pairs trained on the same images whose better map has the better outcome"),
)
