"""Within a model: does a better map on an image go with a right answer on it?"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.answer.answer import Analysis
from analysis.numbers import column_name, count, name, with_interval
from analysis.sections import drawing
from analysis.sections.section import OTHER_WAYS, Section, absent_column, if_estimated, no_interval
from analysis.sections.table import REMARK, SCOPE, Column, Table, estimates, words
from analysis.stats.rank_correlation import Ints
from analysis.stats.replicated import Estimate, mean
from analysis.trials.design import cell_rows
from records import columns

CHANCE = 0.5


@dataclass(frozen=True, kw_only=True)
class PerImage(Estimate):
    """Mean over models of the AUROC of an image's localisation score for a right answer on it, in [0, 1]."""

    attribution: str
    dataset: str | None = None
    """None for all strata with a shift."""
    severity: float | None = None
    method: str | None = None
    n: int = 0
    """Models with a value: at least five right and five wrong answers on the images with a map score."""
    n_missing: int = 0
    n_clusters: int = 0


def per_image(analysis: Analysis) -> tuple[PerImage, ...]:
    """The primary's attribution over everything, by method and by cell; then the other attributions over everything."""
    table, resamples, first = analysis.trials.table, analysis.resamples, analysis.primary.attribution
    prefix = columns.correctness_auroc(analysis.primary.split, analysis.primary.metric, "")
    present = [str(column).removeprefix(prefix) for column in table if str(column).startswith(prefix)]
    if not present:
        return (PerImage(attribution=first, reason=absent_column(table, [prefix + first])),)

    def entry(attribution: str, rows: Ints, **place: Any) -> PerImage:
        values = table[prefix + attribution].to_numpy(dtype=np.float64)
        kept = rows[np.isfinite(values[rows])]
        result = PerImage(
            attribution=attribution,
            n=len(kept),
            n_missing=len(rows) - len(kept),
            n_clusters=resamples.n_clusters(kept),
            reason=None if len(kept) else "no model has five right and five wrong answers on the scored images",
            **place,
        )
        return result.of(mean(values[kept], resamples.cluster[kept], resamples.dataset)) if len(kept) else result

    cells = cell_rows(table)
    shifted = table["severity"].to_numpy() > 0
    everything = np.flatnonzero(shifted)
    main, *others = sorted(present, key=lambda attribution: (attribution != first, attribution))
    methods = drawing.in_order(table["method"][shifted])
    return (
        entry(main, everything),
        *(entry(main, np.flatnonzero(shifted & (table["method"] == m)), method=m) for m in methods),
        *(entry(main, rows, dataset=d, severity=s, method=m) for (d, s, m), rows in cells.items()),
        *(entry(attribution, everything) for attribution in others),
    )


def _sentence(analysis: Analysis, result: tuple[PerImage, ...]) -> str:
    everything = result[0]
    if everything.estimate is None:
        return f"Not estimated: {everything.reason}."
    claim, low, high = "", everything.ci_low, everything.ci_high
    if low is not None and high is not None:
        are = "are" if low > CHANCE or high < CHANCE else "are not seen to be"
        often = "less" if high < CHANCE else "more"
        claim = f"Within a model, images with a better map {are} answered correctly {often} often. "
    score = f"{name(analysis.primary.metric)} of {name(everything.attribution)}"
    models = f"{everything.n:,} of {count(everything.n + everything.n_missing, 'model')}"
    return (
        f"{claim}The AUROC of an image’s {score} for a right answer is {with_interval(everything)} (chance is 0.5), on "
        f"average over {models} in the strata with a shift.{no_interval([everything])}"
    )


def _figure(analysis: Analysis, result: tuple[PerImage, ...]) -> drawing.Drawing | None:
    first = result[0].attribution
    entries = [e for e in result if e.dataset is None and e.attribution == first and e.estimate is not None]
    looks = {**drawing.look(e.method or "" for e in entries), "": (drawing.INK, "D")}
    rows = {name(e.method or "all methods"): [drawing.Mark(e, *looks[e.method or ""])] for e in entries}
    return drawing.forest(
        {"AUROC of an image’s map for a right answer": rows},
        caption=(
            f"AUROC of {column_name(analysis.primary.column)} for a right answer, averaged over a method’s models in "
            "the strata with a shift. The line is chance."
        ),
        alt="Dots with intervals",
        reference=CHANCE,
    )


def _table(result: tuple[PerImage, ...]) -> Table:
    return Table(
        caption="Mean AUROC over models of an image’s localisation score for a right answer; 0.5 is chance.",
        columns=(
            words("attribution", "attribution"),
            *SCOPE,
            *estimates("auroc", "AUROC"),
            Column("n", "models"),
            Column("n_missing", "without"),
            REMARK,
        ),
        rows=result,
        group=2,
        fold=0,
    )


SECTION = Section(
    key="per_image",
    title="Does a better map on an image go with a right answer on it?",
    part=OTHER_WAYS,
    compute=per_image,
    sentence=_sentence,
    figures=lambda analysis, result: [_figure(analysis, result)],
    tables=lambda analysis, result: [_table(result)],
    method=lambda analysis, result: {
        "Image by image": (
            "Within each model, the probability that an image with a right answer has a better map than one with a "
            "wrong answer. It is undefined with fewer than five right or five wrong answers on the images with a mask."
        )
    },
    reported=if_estimated("the AUROC, within a model, of an image’s localisation score for a right answer"),
)
