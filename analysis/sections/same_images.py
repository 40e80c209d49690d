"""For two trainings that differ in the training seed alone: is the one with the better map the better one?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from analysis.answer.answer import Analysis
from analysis.answer.cells import SMALLEST_SPREAD
from analysis.answer.given_id import CONTROL
from analysis.numbers import capitalized, column_name, count, interval, name, percent
from analysis.sections import drawing
from analysis.sections.section import OTHER_WAYS, Section, absent_column, if_estimated, no_interval
from analysis.sections.table import REMARK, SCOPE, Column, Table, estimates, words
from analysis.stats.cluster_bootstrap import Resamples
from analysis.stats.rank_correlation import Floats
from analysis.stats.replicated import Estimate, Replicated
from analysis.trials.design import Cell, Codes, cell_rows, design_of, pairs_within
from analysis.trials.trials import UNKNOWN_DATA_SEEDS

TITLE = "Of two trainings on the same images, is the one with the better map the better one?"
COIN = 0.5
IMAGES = ("same", "other")
"""Whether the two trials of a pair have the same data seed."""
APART = (0.0, SMALLEST_SPREAD)
"""Least difference of the two outcomes: all pairs, and pairs in which one model is clearly better."""
Key = tuple[Cell, str, float, str]
"""A cell, one of `IMAGES`, one of `APART` and the column that chooses."""
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
    """None for all methods."""
    n: int = 0
    """Pairs."""
    n_clusters: int = 0
    """Data seeds, or groups of them where there are more than 500."""


def same_images(analysis: Analysis) -> tuple[Concordance, ...]:
    """Over all methods, on the same and on other images; then by method and by stratum, on the same images.

    A pair is two trials of one configuration in a stratum with a shift, both with score and outcome. It counts 1 if the
    trial with the higher score has the better outcome, 0 if it has the worse one, and 1/2 if they tie in either. With p
    the share, Kendall's tau-a of the pairs (Biometrika 30, 1938) is 2 p − 1. The interval is Student's over data seeds,
    by the delete-one-data-seed jackknife, cut to [0, 1]; without a data seed, all pairs with one of its trials drop
    out. It needs 6 data seeds on each dataset and a share that depends on them.

    Returns:
        The entries that have a pair; a single entry with the reason if no pair has the same images.
    """
    table, score, outcome = analysis.data
    scores = [name for name in (score, CONTROL) if name == score or (name in table and name != outcome)]
    reason = absent_column(table, [score]) if analysis.trials.data_seeds_known else UNKNOWN_DATA_SEEDS
    configuration = design_of(table).configurations()
    trained = table[["data_seed", "severity"]].assign(configuration=configuration)
    if reason is None and trained[trained["severity"] > 0].duplicated().any():
        entries = tuple(_entries(_tally(analysis, scores, configuration), scores, analysis.resamples))
        if entries and (entries[0].images, entries[0].score) == (IMAGES[0], score):
            return entries
    reason = reason or "no two scored trials under a shift have the same configuration and data seed"
    return (Concordance(score=score, images=IMAGES[0], apart=APART[0], reason=reason),)


def _tally(analysis: Analysis, scores: Sequence[str], configuration: Codes) -> dict[Key, Floats]:
    """[(pairs, concordant ones), 1 + clusters] of each cell with a shift: all pairs, then those with each cluster."""
    table, _, outcome = analysis.data
    resamples, values = analysis.resamples, table[[*scores, outcome]].to_numpy(dtype=np.float64)
    tally: dict[Key, Floats] = {}
    for cell, trials in cell_rows(table).items():
        if cell[1] == 0:
            continue
        rows = trials[np.argsort(configuration[trials], kind="stable")]
        first, second = (rows[positions] for positions in pairs_within(configuration[rows]))
        is_same = resamples.data_seed[first] == resamples.data_seed[second]
        difference = values[first] - values[second]
        for images, apart, (column, score) in product(IMAGES, APART, enumerate(scores)):
            concordant = (1 + np.sign(difference[:, column]) * np.sign(difference[:, -1])) / 2
            is_apart = np.abs(difference[:, -1]) >= apart - _ROUNDING
            kept = np.isfinite(concordant) & is_apart & (is_same == (images == "same"))
            one, other = resamples.cluster[first[kept]], resamples.cluster[second[kept]]
            for_each = []
            for counted in (np.ones(len(one)), concordant[kept]):
                with_one, with_other = (
                    np.bincount(cluster, weight, len(resamples.dataset))
                    for cluster, weight in ((one, counted), (other, counted * (one != other)))
                )
                for_each.append([counted.sum(), *(with_one + with_other)])
            tally[cell, images, apart, score] = np.asarray(for_each)
    return tally


def _entries(tally: dict[Key, Floats], scores: Sequence[str], resamples: Resamples) -> Iterator[Concordance]:
    cells = list(dict.fromkeys(cell for cell, *_ in tally))
    places: list[tuple[str, dict[str, Any]]] = [(images, {}) for images in IMAGES]
    places += [("same", {"method": method}) for method in drawing.in_order(cell[2] for cell in cells)]
    places += [("same", {"dataset": d, "severity": s}) for d, s in dict.fromkeys(cell[:2] for cell in cells)]
    for (images, place), apart, score in product(places, APART, scores):
        chosen = [
            cell
            for cell in cells
            if place.items() <= dict(zip(("dataset", "severity", "method"), cell, strict=True)).items()
        ]
        pairs, concordant = np.sum([tally[cell, images, apart, score] for cell in chosen], axis=0)
        if not pairs[0]:
            continue
        present = pairs[1:] > 0
        counts: dict[str, Any] = {"n": int(pairs[0]), "n_clusters": int(present.sum())}
        entry = Concordance(score=score, images=images, apart=apart, **place, **counts)
        one, all_pairs = (
            Replicated(np.append(n[0], n[0] - n[1:]), present, resamples.dataset) for n in (concordant, pairs)
        )
        share: Replicated = one / all_pairs
        if share.no_interval is None and np.ptp(share.values[1:][present]) == 0:
            same = "the share is the same without any one of the data seeds"
            yield replace(entry, estimate=share.whole, interval_reason=same)
        else:
            yield entry.of(share, low=0.0, high=1.0)


def _share(entry: Concordance) -> str:
    """ "61.2 % (55.0 to 67.4) of 190 pairs"."""
    bounds = ""
    if entry.ci_low is not None and entry.ci_high is not None:
        bounds = f" ({interval(100 * entry.ci_low, 100 * entry.ci_high, 1)})"
    return f"{percent(entry.estimate, 1)}{bounds} of {count(entry.n, 'pair')}"


def _sentence(analysis: Analysis, result: tuple[Concordance, ...]) -> str:
    same = result[0]
    if same.estimate is None:
        return f"Not estimated: {same.reason}."
    outcome, validation = column_name(analysis.primary.outcome), column_name(CONTROL)
    shares = {
        (e.images, e.apart, e.score == analysis.primary.column): _share(e)
        for e in result
        if e.dataset is None and e.method is None
    }
    pair = "of two trainings on the same images, the one with the better map"
    if same.ci_low is None or same.ci_high is None:
        claim = f"{capitalized(pair)} has"
    elif same.ci_low > COIN:
        claim = f"{capitalized(pair)} is the better one more often: it has"
    elif same.ci_high < COIN:
        claim = f"{capitalized(pair)} is the worse one more often: it has"
    else:
        claim = f"These trials do not show that, {pair} is the better one more often: it has"
    words = [f"{claim} the better {outcome} in {_share(same)} under a shift; ties count half, and chance is 50\u00a0%."]
    if validated := shares.get(("same", APART[0], False)):
        words.append(f"The one with the better {validation} has it in {validated}.")
    if clear := shares.get(("same", APART[1], True)):
        validated = shares.get(("same", APART[1], False))
        also = f", {validation} in {validated}" if validated else ""
        words.append(
            f"Where their {outcome} differs by at least {APART[1]:g}, the map picks the better in {clear}{also}."
        )
    if other := shares.get(("other", APART[0], True)):
        words.append(f"For two trainings of one configuration on different images, the map picks it in {other}.")
    return " ".join(words) + no_interval([same])


def _figure(analysis: Analysis, result: tuple[Concordance, ...]) -> drawing.Drawing | None:
    """All pairs: all methods on the same and on other images, then each method on the same images."""
    looks = {
        analysis.primary.column: (drawing.PALETTE[2], "o", "choose by the map"),
        CONTROL: (drawing.PALETTE[1], "s", f"choose by {column_name(CONTROL)}"),
    }
    rows: dict[str, list[drawing.Mark]] = {}
    for entry in result:
        if entry.estimate is not None and entry.apart == APART[0] and entry.dataset is None:
            row = f"{entry.images} images" if entry.method is None else name(entry.method)
            rows.setdefault(row, []).append(drawing.Mark(entry, *looks[entry.score]))
    if not rows:
        return None
    return drawing.forest(
        {"share of pairs in which the choice is the better model": rows},
        name="same_images",
        title=TITLE,
        caption=(
            "Share of pairs of trials of one configuration in which the one with the better map "
            f"({analysis.primary_name}), or with the better validation AUC, has the better "
            f"{column_name(analysis.primary.outcome)}, in the strata with a shift; ties count half. Rows of methods "
            "have pairs on the same images. The line is chance."
        ),
        alt="Dots with intervals",
        reference=COIN,
    )


def _table(analysis: Analysis, result: tuple[Concordance, ...]) -> Table:
    return Table(
        name="same_images",
        title=TITLE,
        caption=(
            "Share of pairs of trials of one configuration in which the one with the better score has the better "
            f"{column_name(analysis.primary.outcome)}; ties count half, 0.5 is chance, and Kendall’s τ is twice the "
            "share less 1. On the same images the two differ in the training seed alone. Apart: by how much their "
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
    title=TITLE,
    part=OTHER_WAYS,
    compute=same_images,
    sentence=_sentence,
    figures=lambda analysis, result: [_figure(analysis, result)],
    tables=lambda analysis, result: [_table(analysis, result)],
    method=lambda analysis, result: {
        "Pairs on the same images": (
            "Trials of one configuration differ in their images, drawn by the data seed, and in initialisation and "
            "order of training, drawn by the training seed. The comparison by seeds ranks all of them; here pairs with "
            "the same data seed are separate from pairs with different ones. A pair counts 1 if the trial with the "
            "better score has the better outcome, 0 if it has the worse one, and half if the two tie in either."
        )
    },
    reported=if_estimated(
        "the share of pairs of trials with the same configuration and data seed in which the one with the better map "
        "has the better outcome"
    ),
)
