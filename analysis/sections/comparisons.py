"""The first screen: the answer by what varies between the models that are compared, as a table and a forest plot."""

from collections.abc import Sequence
from operator import itemgetter

from analysis.answer.answer import Analysis
from analysis.answer.cells import MINIMUM_UNITS, SMALLEST_SPREAD
from analysis.answer.combine import DIFFER, MINIMUM_CELLS, MINIMUM_DATASETS, MINIMUM_METHODS, Comparison
from analysis.answer.looks import look_note
from analysis.answer.settings import MINIMUM_RELIABILITY
from analysis.answer.verdict import LABELS, QUESTIONS, generality
from analysis.numbers import (
    capitalized,
    column_name,
    count,
    interval,
    listed,
    number,
    severity,
    stratum_name,
    with_interval,
)
from analysis.sections.drawing import PALETTE, RHO, Drawing, Mark, forest, place_of_method
from analysis.sections.head import data_seeds
from analysis.sections.section import Lack, Section
from analysis.sections.table import Column, Table, decimals, estimates, inside, intervals, words
from analysis.stats.replicated import MINIMUM_CLUSTERS
from analysis.stats.without_each import FEWEST_FOR_CUBIC

TITLE = "The answer, by what varies between the models"
Comparisons = tuple[Comparison, ...]
_COUNTED = "Between methods, strata are counted in place of cells."
_COLOURS = dict(zip(LABELS, PALETTE[1:5], strict=True))


def _sentence(analysis: Analysis, result: Comparisons) -> str:
    """Each question with its answer; those that share the reason why they have none, together."""
    lines = [f"{QUESTIONS[part.comparison]} {part.sentence}" for part in result if part.reason is None]
    return "\n\n".join([*lines, *(f"Undecided by {names}: {why}." for names, why in _unanswered(result))])


def _unanswered(result: Comparisons) -> list[Lack]:
    """The comparisons without an answer, by the reason."""
    reasons = dict.fromkeys(part.reason for part in result if part.reason is not None)
    return [(listed([LABELS[part.comparison] for part in result if part.reason == why]), why) for why in reasons]


def _table(analysis: Analysis, result: Comparisons) -> Table:
    pooled = analysis.find("pooled")
    mixed = f" All trials mixed give {number(pooled.estimate)}, which answers none of these." if pooled else ""
    return Table(
        name="comparisons",
        title=TITLE,
        caption=(
            f"Rank correlation of {analysis.primary_name} with {column_name(analysis.primary.outcome)} among models "
            "that differ in one thing, over the strata with a shift. A new method: prediction interval for one "
            f"that was not tried. {_COUNTED}{mixed}"
        ),
        columns=(
            words("comparison", "question", text=QUESTIONS.__getitem__),
            words("answer", "on average", text=str),
            words("generality", "how general", generality, text=str),
            *estimates("rho", "ρ"),
            intervals("prediction_interval", "a new method", "prediction_low", "prediction_high"),
            decimals("auc_per_tenth", "AUC per 0.1"),
            decimals("new_method_positive", "P(ρ > 0)"),
            *_COUNTS,
            words("remark", "remark", "reason", text=str),
        ),
        rows=result,
    )


_COUNTS = Column("n_cells", "cells"), Column("n_trials", "trials")


def _strata(result: Comparisons) -> Table:
    return Table(
        name="comparisons_by_stratum_and_method",
        title="Each comparison by stratum and by method",
        caption=(
            "Strata without a shift are shown and do not count. Methods are averaged over the strata with a shift. "
            f"{_COUNTED}"
        ),
        columns=(
            *inside(itemgetter(0), words("comparison", "varies", text=LABELS.__getitem__)),
            *inside(
                itemgetter(1),
                words("dataset", "dataset", absent="all"),
                words("severity", "s", text=severity),
                words("method", "method", absent="all"),
                *estimates("rho", "ρ"),
                *_COUNTS,
            ),
            words("remark", "remark", lambda row: "no shift: not counted" if row[1].severity == 0 else None, text=str),
        ),
        rows=[
            (part, level)
            for part in result
            for level in (*part.strata, *sorted(part.methods, key=lambda level: place_of_method(level.method or "")))
        ],
        group=1,
        fold=0,
    )


def _forest(analysis: Analysis, result: Comparisons) -> Drawing | None:
    """Each comparison with its interval and prediction interval, and its strata as dots."""
    rows = {
        f"{_label(part)}: {part.answer}": [
            Mark(
                part,
                _COLOURS[part.comparison],
                "D",
                band=(part.prediction_low, part.prediction_high),
                around=[level.estimate for level in part.strata if level.severity],
            )
        ]
        for part in result
        if part.estimate is not None
    }
    return forest(
        {RHO: rows},
        name="comparisons",
        title=TITLE,
        caption=(
            "The table’s correlations and intervals. Dots: each dataset and severity with a shift. Broad bands: "
            "prediction intervals for a new method."
        ),
        alt="Forest plot of the comparisons",
        limits=(-1.02, 1.02),
        smallest_effect=analysis.verdict.smallest_effect,
    )


def _by_stratum(analysis: Analysis, result: Comparisons) -> Drawing | None:
    """Each stratum's estimate and interval, a panel a comparison."""
    panels = {
        f"ρ {_label(part)}": {
            stratum_name(level.dataset, level.severity): [
                Mark(level, _COLOURS[part.comparison], is_hollow=level.severity == 0)
            ]
            for level in part.strata
        }
        for part in result
        if part.strata
    }
    if len({stratum for rows in panels.values() for stratum in rows}) < 2:
        return None
    return forest(
        panels,
        name="comparisons_by_stratum",
        title="Each comparison by stratum",
        caption="Spearman’s ρ with its 95 % interval. Hollow: no shift, shown and not counted.",
        alt="Dots with intervals, a panel a comparison and a row a stratum",
        limits=(-1.02, 1.02),
        smallest_effect=analysis.verdict.smallest_effect,
    )


def _label(part: Comparison) -> str:
    label = LABELS[part.comparison]
    return label if part.comparison == "given_id" else f"between {label}"


def _details(result: Comparisons) -> list[str]:
    lines = []
    for part in result:
        label = capitalized(LABELS[part.comparison])
        for what, low, high in (
            ("leaving one method out gives", part.without_one_low, part.without_one_high),
            ("prediction interval for a new dataset:", part.prediction_dataset_low, part.prediction_dataset_high),
        ):
            if low is not None:
                lines.append(f"{label}: {what} {interval(low, high)}.")
        if part.left_out:
            lines.append(f"{label}: left out: {'; '.join(f'{why} ({n:,})' for why, n in part.left_out.items())}.")
    return lines


def _missing(analysis: Analysis, result: Comparisons) -> Sequence[Lack]:
    lacks = [(f"the answer by {names}", why) for names, why in _unanswered(result)]
    if not any(part.prediction_dataset_low is not None for part in result):
        why = f"fewer than {MINIMUM_DATASETS} datasets, or no interval"
        lacks.append(("the prediction interval for a new dataset", why))
    return lacks


def _method(analysis: Analysis, result: Comparisons) -> dict[str, str]:
    effect = number(analysis.verdict.smallest_effect, 1)
    return {
        "The comparisons": (
            "Seeds: Spearman’s ρ among the trials of each configuration, combined over configurations on Fisher’s z "
            "scale (Hedges & Olkin 1985). Settings and methods: ρ among averages over data seeds. Averages over the "
            "same few seeds correlate as seeds do, so they are cross-fitted: the map’s average comes from one half of "
            "the data seeds and the performance’s from the other, over random halves, and ρ is divided by the "
            "agreement of the halves (Spearman 1904). Given validation AUC: ρ within a cell, the ranks of map and "
            f"performance adjusted for a cubic in those of validation AUC (a straight line below {FEWEST_FOR_CUBIC} "
            "trials). In the comparisons of single trainings, what a data seed’s images do to all other "
            "configurations of the stratum is subtracted first. Strata without a shift are shown and do not count."
        ),
        "Intervals of the comparisons": (
            "Each data seed is left out in turn, with Student’s t on Satterthwaite’s (1946) degrees of freedom. "
            "Between settings, between methods and given validation AUC, each setting or method is left out in turn "
            "too, and both variances are added: these intervals also hold for the draw of settings or methods. Between "
            "seeds and given validation AUC, the same is done for training seeds that recur on several data seeds "
            "(Cameron, Gelbach & Miller 2011). Apart from the one between methods, the intervals hold for the methods "
            "compared here. "
            "The prediction interval for a new method is Student’s interval for one more of the methods’ values, with "
            "the variance that all their errors share."
        ),
        **_of_looks(analysis),
        "The words": (
            f"Yes: the whole interval is above {effect}, the smallest correlation of interest. No: the whole interval "
            f"is between −{effect} and {effect} (Schuirmann 1987). Reverse: the whole interval is below −{effect}. "
            "Undecided: none of these. Each interval is taken at its level in Holm’s (1979) procedure over the "
            "comparisons that have one, so the words hold jointly."
        ),
        "How general": (
            "The sign differs: methods, strata or cells have correlations of both signs, by the test for qualitative "
            f"interaction (Gail & Simon 1985), with Holm’s procedure at level {DIFFER:g} over all its uses here. The "
            "same sign: the 95 % interval of each method and of each stratum excludes zero on one side. Otherwise "
            "there are too few trials to say. P(ρ > 0) is the probability that the correlation of a new method is "
            "positive, by Student’s distribution of one more value."
        ),
        "What a comparison needs": (
            f"A shift; {MINIMUM_CELLS} cells of at least two methods ({MINIMUM_METHODS} methods between methods); "
            f"{MINIMUM_CLUSTERS} data seeds on each dataset; {MINIMUM_UNITS} trials to rank, or settings or methods "
            f"with two data seeds; an outcome whose standard deviation among them is at least {SMALLEST_SPREAD:g}; "
            "settings and methods whose order two halves of the data seeds agree on (ρ of at least "
            f"{MINIMUM_RELIABILITY:g}). Cells, settings and methods that lack it are left out and counted."
        ),
    }


def _of_looks(analysis: Analysis) -> dict[str, str]:
    """How the intervals allow for earlier looks; empty for a sweep without looks."""
    note = look_note(analysis.trials)
    return {} if note is None else {"Looks at a growing sweep": note}


def _reported(analysis: Analysis, result: Comparisons) -> str:
    trials, primary = analysis.trials, analysis.primary
    methods, datasets, severities = (trials.table[c].nunique() for c in ("method", "dataset", "severity"))
    per_dataset = f"{data_seeds(trials.table)} per dataset" if trials.data_seeds_known else "data seeds not recorded"
    text = (
        f"We analysed {count(len(trials.table), 'training run')} ({sum(trials.excluded.values()):,} more were "
        f"excluded) of {count(methods, 'method')} on {count(datasets, 'dataset')} at "
        f"{count(severities, 'shift severity', 'shift severities')} with {per_dataset}, after the design of Viviano et "
        f"al. (2021). The primary was {analysis.primary_name} against {column_name(primary.outcome)}."
    )
    answered = [part for part in result if part.ci_low is not None]
    if not answered:
        return text
    numbers = "; ".join(f"{LABELS[part.comparison]} {with_interval(part)}, {part.answer}" for part in answered)
    signs = (
        "; signs compared by the test for qualitative interaction (Gail & Simon 1985)"
        if any(part.signs for part in answered)
        else ""
    )
    return (
        f"{text} Its rank correlation was taken among models that differ in one thing, over the strata with a shift "
        f"({numbers}), with 95 % intervals from a jackknife over data seeds and averages over seeds cross-fitted "
        "(Spearman 1904). The words follow from each interval, at its level in Holm’s (1979) procedure, and the "
        f"smallest effect of interest, ρ = {analysis.verdict.smallest_effect:g} (Schuirmann 1987)"
        f"{signs}.{' '.join(['', *_of_looks(analysis).values()])}"
    )


SECTION = Section(
    key="comparisons",
    title=TITLE,
    compute=lambda analysis: analysis.comparisons,
    words_last=True,
    figures=lambda analysis, result: [_forest(analysis, result)],
    tables=lambda analysis, result: [_table(analysis, result)],
    missing=_missing,
    method=_method,
    reported=_reported,
)


IN_WORDS: Section[None] = Section(
    key="comparisons_in_words",
    title="The comparisons in words",
    sentence=lambda analysis, result: _sentence(analysis, analysis.comparisons),
    details=lambda analysis, result: _details(analysis.comparisons),
    figures=lambda analysis, result: [_by_stratum(analysis, analysis.comparisons)],
    tables=lambda analysis, result: [_strata(analysis.comparisons)],
)
"""Follows on the page, after the first screen."""
