"""The map of shifted images and scores that need none, compared as predictors of performance under the shift."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

from analysis.answer.answer import Analysis
from analysis.answer.cells import CellValues, Data
from analysis.answer.combine import Comparison, combine, values_of
from analysis.answer.given_id import control_of
from analysis.answer.verdict import LABELS
from analysis.numbers import column_name, listed, number
from analysis.sections.section import Section
from analysis.sections.table import Table, estimates, words
from analysis.stats.replicated import Replicated
from records import columns

LEVEL = 0.05
"""Level of the claims that a score predicts better, over all scores and comparisons together."""


@dataclass(frozen=True, kw_only=True)
class Advantage:
    """How much better one score predicts the outcome than another in a comparison: their rank correlations with it."""

    comparison: str
    first: float | None = None
    second: float | None = None
    low: float | None = None
    """95 % interval of the difference of Fisher's z; for these settings and methods."""
    high: float | None = None
    p_value: float | None = None
    """Two-sided, of no difference."""


@dataclass(frozen=True)
class Predictor:
    """A score as a predictor of the outcome, by comparison, and its advantages over the primary's map."""

    column: str
    comparisons: tuple[Comparison, ...]
    over_map: tuple[Advantage, ...]


def predictors(analysis: Analysis) -> tuple[Predictor, ...]:
    """The map's score, the same on ID images, each probe and validation AUC, if the table has them."""
    table, score, outcome = analysis.data
    if score not in table:
        return ()
    on_id = columns.localisation("test_id", analysis.primary.metric, analysis.primary.attribution)
    validation = columns.performance("valid_id", outcome.rpartition(".")[2])

    def scored(column: str, declared: Sequence[str]) -> Scored:
        return Scored.of(Data(table, column, outcome, analysis.resamples, analysis.seed), declared)

    results = [Predictor(score, analysis.comparisons, ())]
    the_map = scored(score, analysis.trials.comparisons)
    for column in (on_id, *columns.PROBES, validation):
        if column in table and column not in (score, outcome) and table[column].notna().any():
            declared = [n for n in analysis.trials.comparisons if (n, column) != ("given_id", validation)]
            other = scored(column, declared)
            effect, known = analysis.verdict.smallest_effect, analysis.trials.data_seeds_known
            compared = combine(*other, smallest_effect=effect, data_seeds_known=known)
            results.append(Predictor(column, compared, advantages(other, the_map, declared)))
    return tuple(results)


class Scored(NamedTuple):
    """A score with its values in each comparison."""

    data: Data
    values: Mapping[str, CellValues]

    @classmethod
    def of(cls, data: Data, declared: Sequence[str]) -> "Scored":
        return cls(data, values_of(data, declared))


def advantages(first: Scored, second: Scored, declared: Sequence[str]) -> tuple[Advantage, ...]:
    """Compare two scores as predictors of the outcome, in each declared comparison and over the strata with a shift.

    Both are taken on the trials that have both, and over the cells where both have a correlation. Each data seed is
    left out of both correlations at once, so what the scores share cancels. One method alone has no interval.
    """
    both = first.data.present & second.data.present
    sides = [
        side if (side.data.present == both).all() else Scored.of(side.data.where(both), declared)
        for side in (first, second)
    ]
    fit = all(side.data.unfit() is None for side in sides)
    return tuple(_advantage(sides, name) if fit else Advantage(comparison=name) for name in declared)


def _advantage(sides: Sequence[Scored], comparison: str) -> Advantage:
    advantage = Advantage(comparison=comparison)
    if comparison == "given_id" and any(side.data.score == control_of(side.data) for side in sides):
        return advantage
    first, second = (side.values[comparison].shifted for side in sides)
    shared = set(first.cells).intersection(second.cells)
    if not shared:
        return advantage
    one, two = (values.where(lambda cell: cell in shared).rho for values in (first, second))
    difference: Replicated = one.on("fisher") - two.on("fisher")
    interval = difference.interval()
    one_method = comparison != "method" and len({method for _, _, method in shared}) == 1
    advantage = replace(advantage, first=one.whole, second=two.whole)
    if interval is None or not interval.standard_error or one_method:
        return advantage
    return replace(advantage, low=interval.low, high=interval.high, p_value=interval.p_value)


def better(result: tuple[Predictor, ...], sign: int = 1) -> list[tuple[Predictor, list[Advantage]]]:
    """The scores that predict better than the map (worse for sign −1) and the comparisons, adjusted by Bonferroni."""
    n_tested = sum(a.p_value is not None for predictor in result for a in predictor.over_map)

    def is_better(a: Advantage) -> bool:
        difference = sign * ((a.first or 0.0) - (a.second or 0.0))
        return a.p_value is not None and a.p_value < LEVEL / n_tested and difference > 0

    where = [(predictor, list(filter(is_better, predictor.over_map))) for predictor in result]
    return [(predictor, advantages) for predictor, advantages in where if advantages]


def _sentence(analysis: Analysis, result: tuple[Predictor, ...]) -> str:
    if len(result) == 1:
        return "These trials have neither maps of ID images, probes nor validation AUC to compare with the map."
    if all(a.p_value is None for predictor in result for a in predictor.over_map):
        return "No score could be tested against the map."
    outcome, lines = column_name(analysis.primary.outcome), []
    the_map = "the map of shifted images" if analysis.primary.split == "test_ood" else "the map"
    # The interval of a difference holds for these methods, unlike that of the correlation between methods.
    places = LABELS | {"seed": "between seeds", "setting": "between settings", "method": "between these methods"}
    for sign, verb in ((1, "better"), (-1, "worse")):
        for predictor, where in better(result, sign):
            cases = listed([f"{places[a.comparison]} {number(a.first)} against {number(a.second)}" for a in where])
            lines.append(f"{column_name(predictor.column)} predicts {outcome} {verb} than {the_map}: {cases}.")
    if not any(predictor.column in columns.PROBES for predictor in result):
        lines.append("These trials have no probes (AUC on ID images with an altered outside).")
    return "\n\n".join(lines or [f"No score predicts {outcome} better or worse than {the_map} beyond chance."])


def _table(analysis: Analysis, result: tuple[Predictor, ...]) -> Table:
    def of(comparison: str) -> Callable[[Predictor], Comparison | None]:
        return lambda predictor: next((c for c in predictor.comparisons if c.comparison == comparison), None)

    sizes = {(c.comparison, c.n_trials) for predictor in result for c in predictor.comparisons}
    differ = len(sizes) > len({comparison for comparison, _ in sizes})
    remark = " Rows rest on different trials where a score is missing, or has no correlation in a cell." * differ
    comparisons = [estimates(n, LABELS[n], of(n), interval=f"{n}.interval") for n in analysis.trials.comparisons]
    return Table(
        caption=(
            f"Rank correlation with {column_name(analysis.primary.outcome)}. A probe is the AUC on ID test images with "
            f"an altered outside: it needs masks and no map.{remark}"
        ),
        columns=(words("score", "score", "column", text=column_name), *chain.from_iterable(comparisons)),
        rows=result if len(result) > 1 else (),
        strong=True,
    )


SECTION = Section(
    key="predictors",
    title="The map and scores that need no shifted images",
    compute=predictors,
    sentence=_sentence,
    tables=lambda analysis, result: [_table(analysis, result)],
    method=lambda analysis, result: {
        "Probes": (
            "The pixels outside the mask are set to zero, shuffled, or replaced by another image’s outside (after "
            "Mixed-Rand of Xiao et al. 2021, whose donors lose their object first). One score predicts better than "
            "another if the interval of the difference of their Fisher’s z excludes zero at 5 % over all scores and "
            "comparisons together (Bonferroni)."
        )
    },
)
