"""The correlation among single trainings at one learning rate, with maps of ID images: what a user can compare.

A user who chooses a model has trained each candidate once and has maps of ID images. The comparisons of settings and
methods average over seeds; all comparisons mix learning rates and take the primary's maps, by default of OOD images.
"""

from dataclasses import dataclass, replace
from operator import itemgetter

import pandas as pd

from analysis.answer.answer import Analysis
from analysis.answer.cells import CellValue, CellValues, Data, by_draw, collect, too_few
from analysis.answer.given_id import control_of, given_id_values
from analysis.answer.seeds import ranked, unranked, without_images
from analysis.numbers import column_name, with_interval
from analysis.sections.section import Section
from analysis.sections.table import Column, Table, estimates, inside, words
from analysis.stats.replicated import Estimate
from analysis.trials.design import Cell
from analysis.trials.trials import UNKNOWN_DATA_SEEDS
from records import columns

RATE = f"{columns.HYPERPARAMETER_PREFIX}lr"


@dataclass(frozen=True, kw_only=True)
class SingleTrainings(Estimate):
    """The rank correlation of the map of ID images with the outcome among single trainings at one learning rate."""

    score: str
    control: str | None
    """The column that ranks are adjusted for; None without adjustment."""
    n_trials: int = 0


def single_trainings(analysis: Analysis) -> tuple[SingleTrainings, ...]:
    """Spearman's rho within cells at one learning rate, combined on Fisher's z scale over the strata with a shift.

    Trials of a cell differ in seeds, strength and further settings. What a data seed's images do to all other
    configurations at the rate is subtracted first; given validation AUC, ranks are adjusted as in the comparison
    `given_id`. Intervals hold for the draw of data seeds and settings.

    Returns:
        The correlation, each learning rate by itself; then the same given validation AUC.
    """
    table, _, outcome = analysis.data
    score = columns.localisation("test_id", analysis.primary.metric, analysis.primary.attribution)
    rates = table[RATE].astype(str) if RATE in table else pd.Series("", table.index)
    # Trials of another learning rate are taken as those of another dataset, so that no cell or stratum mixes rates.
    apart = table.assign(dataset=table["dataset"] + " at " + rates)
    data = Data(apart, score, outcome, analysis.resamples, analysis.seed)
    reason = data.unfit() if analysis.trials.data_seeds_known else UNKNOWN_DATA_SEEDS
    if reason is not None:
        return (SingleTrainings(score=score, control=None, reason=reason),)
    results = [_estimated(SingleTrainings(score=score, control=None), _values(data).shifted)]
    if control := control_of(data):
        results.append(_estimated(SingleTrainings(score=score, control=control), given_id_values(data).shifted))
    return tuple(results)


def _values(data: Data) -> CellValues:
    """The values of the cells without a control."""

    def values(data: Data) -> CellValues:
        centred = without_images(data)
        return collect(((cell, _of_cell(data, centred, cell)) for cell in data.cells), fisher=True)

    return replace(values(data), by_training_seed=tuple(map(values, data.by_training_seed)))


def _of_cell(data: Data, centred: Data, cell: Cell) -> CellValue | str:
    rows = data.cells[cell][centred.present[data.cells[cell]]]
    value = too_few(len(rows), "trials") or unranked(data, rows) or ranked(centred, cell, rows)
    if isinstance(value, str):
        return value
    axes = {axis: levels[rows] for axis, levels in data.axes.items()}
    return replace(value, drawn=by_draw(centred.x[rows], centred.y[rows], axes, "fisher"))


def _estimated(result: SingleTrainings, values: CellValues) -> SingleTrainings:
    if not values.values:
        return replace(result, reason="no cell has trials to rank at one learning rate")
    interval, n_trials = values.interval(), sum(value.n_trials for value in values.values)
    result = replace(result, estimate=values.rho.whole, n_trials=n_trials)
    if interval is None:
        return replace(result, interval_reason=values.rho.no_interval)
    return replace(result, ci_low=interval.low, ci_high=interval.high)


def _sentence(analysis: Analysis, result: tuple[SingleTrainings, ...]) -> str:
    shown = " and ".join(
        with_interval(part) + (f" at equal {column_name(part.control)}" if part.control else "")
        for part in result
        if part.estimate is not None
    )
    return (
        f"Among models trained once, all at one learning rate, {column_name(result[0].score)} has a rank correlation "
        f"with {column_name(analysis.primary.outcome)} of {shown}."
    )


def _table(analysis: Analysis, result: tuple[SingleTrainings, ...]) -> Table:
    compared = {part.comparison: part for part in analysis.comparisons if part.estimate is not None}
    found = {part.control is None: part for part in result}
    rows = [
        ("the comparisons of settings and given validation AUC", compared.get("setting"), compared.get("given_id")),
        ("single trainings at one learning rate", found[True], found.get(False)),
    ]
    return Table(
        caption=(
            "Spearman’s ρ over the strata with a shift. The comparisons in the first row mix learning rates and take "
            f"{analysis.primary_name}; that of settings takes means over seeds. The second takes maps of ID images."
        ),
        columns=(
            words("models", "models", itemgetter(0), text=str),
            *estimates("rho", "ρ", itemgetter(1)),
            *estimates("given_id", "given validation AUC", itemgetter(2), interval="given_id.interval"),
            *inside(itemgetter(1), Column("n_trials", "trials")),
        ),
        rows=rows,
    )


SECTION = Section(
    key="single_trainings",
    title="The same for models trained once, at one learning rate",
    compute=single_trainings,
    sentence=_sentence,
    tables=lambda analysis, result: [] if result[0].reason else [_table(analysis, result)],
)
