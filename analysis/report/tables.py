"""The report's tables: correlations by scope, score and cell, methods, and those of the estimands."""

from collections.abc import Iterable, Sequence
from typing import Any

from analysis.answer.answer import Analysis
from analysis.answer.entry import Correlation
from analysis.report.numbers import interval, name, number, p_value, severity
from analysis.report.table import Cell, Table
from analysis.sections.estimand_tables import estimand_tables
from analysis.sections.estimand_words import column_name
from analysis.sections.mask_controls import ControlRow
from analysis.sections.methods import MethodRow, Spread
from analysis.stats.rank_correlation import STATISTICS
from analysis.trials.trials import Primary


def tables(analysis: Analysis) -> list[Table]:
    """All tables, in the report's order."""
    correlations = [by_scope(analysis), by_score(analysis), by_method(analysis), by_cell(analysis)]
    return [
        *correlations,
        *by_strength(analysis),
        *by_selection(analysis),
        *by_control(analysis),
        *estimand_tables(analysis),
    ]


_ESTIMATE = ("ρ", "95 % interval", "p", "p, adjusted", "τ-b", "95 % interval of τ-b", "n", "data seeds")
_ESTIMATE_FIELDS = (
    "rho",
    "rho_interval",
    "p_value",
    "p_adjusted",
    "tau_b",
    "tau_b_interval",
    "n",
    "n_clusters",
)


def by_scope(analysis: Analysis) -> Table:
    """The primary's correlations but for single cells: the deciding one first, the pooled one last."""
    order = ("within_cell", "stratum", "between_methods", "pooled")
    pairs = _pairs(analysis.primary_correlations)
    rows = [
        ((rho.scope, name(rho.scope)), (rho.stratum or "all", where(rho)), *_estimate(rho, tau))
        for scope in order
        for rho, tau in sorted(pairs, key=lambda pair: pair[0].stratum is not None)
        if rho.scope == scope
    ]
    return Table(
        name="correlations_by_scope",
        title="The primary’s correlations",
        caption=(
            "n counts trials, for the scope between methods it counts methods. p is adjusted over all "
            "scores and strata of its scope (Benjamini-Hochberg)."
        ),
        headings=("scope", "where", *_ESTIMATE),
        rows=tuple(rows),
        text_columns=2,
        fields=("scope", "stratum", *_ESTIMATE_FIELDS),
    )


def by_score(analysis: Analysis) -> Table:
    """Every localisation score within cells, beside its pooled value."""
    pairs = _pairs(analysis.correlations)
    pooled = {_score(rho): rho for rho, _ in pairs if rho.scope == "pooled"}
    rows = [
        (
            (rho.split, name(rho.split)),
            (rho.metric, name(rho.metric)),
            (rho.attribution, name(rho.attribution)),
            *_estimate(rho, tau),
            (pooled[_score(rho)].estimate, number(pooled[_score(rho)].estimate)),
        )
        for rho, tau in sorted(pairs, key=lambda pair: pair[0].split, reverse=True)  # the OOD test set first
        if rho.scope == "within_cell" and rho.stratum is None
    ]
    return Table(
        name="scores",
        title="Every localisation score, within cells",
        caption="Scores on the ID test set are held against the same outcome: do they foretell it?",
        headings=("split", "metric", "attribution", *_ESTIMATE, "ρ, pooled"),
        rows=tuple(rows),
        text_columns=3,
        fields=("split", "metric", "attribution", *_ESTIMATE_FIELDS, "rho_pooled"),
    )


def by_method(analysis: Analysis) -> Table:
    """Performance and localisation of each cell."""
    return _summary(
        "methods", "Methods", "Mean ± standard deviation over trials.", analysis.methods, analysis.primary, ()
    )


def by_strength(analysis: Analysis) -> list[Table]:
    """Performance and localisation at each strength of the cells that have several."""
    told = "Mean ± standard deviation over the trials of a cell that have this strength."
    rows, primary = analysis.strengths, analysis.primary
    return [_summary("strengths", "Method by strength", told, rows, primary, ("strength",))] if rows else []


def _summary(
    table: str, title: str, told: str, rows: Sequence[MethodRow], primary: Primary, also: tuple[str, ...]
) -> Table:
    """One row each; `also` names columns between the cell and its numbers."""
    cells = [
        (
            (row.dataset, name(row.dataset)),
            (row.severity, severity(row.severity)),
            (row.method, name(row.method)),
            *((getattr(row, column), f"{getattr(row, column):g}") for column in also),
            *_spread(row.ood),
            *_spread(row.id),
            *_spread(row.localisation),
            (row.chance, number(row.chance)),
            (row.n, f"{row.n:,}"),
        )
        for row in rows
    ]
    split, _, measure = primary.outcome.rpartition(".")
    outcome = f"{name(split)} {'AUC' if measure == 'auc' else measure}"
    numbers = (outcome, "sd", "ID test AUC", "sd", name(primary.metric), "sd", "chance", "n")
    fields = ["dataset", "severity", "method", *also, primary.outcome, "sd", "test_id.auc", "sd", primary.column, "sd"]
    return Table(
        name=table,
        title=title,
        caption=(
            f"{told} {name(primary.metric)} is that of {name(primary.attribution)} on the {name(primary.split)} set."
        ),
        headings=("dataset", "s", "method", *also, *numbers),
        rows=tuple(cells),
        text_columns=3,
        fields=(*_numbered_sd(fields), "chance", "n"),
    )


def by_cell(analysis: Analysis) -> Table:
    """The primary's correlation in each cell, with the reason where it is undefined."""
    rows = [
        (
            (rho.dataset, name(rho.dataset or "")),
            (rho.severity, severity(rho.severity or 0.0)),
            (rho.method, name(rho.method or "")),
            *_estimate(rho, tau),
            (rho.reason, rho.reason or ""),
        )
        for rho, tau in _pairs(analysis.primary_correlations)
        if rho.scope == "cell"
    ]
    return Table(
        name="cells",
        title="Every cell",
        caption="The primary’s correlation in each cell. Undefined ones are counted, never filled in.",
        headings=("dataset", "s", "method", *_ESTIMATE, "undefined because"),
        rows=tuple(rows),
        text_columns=3,
        fields=("dataset", "severity", "method", *_ESTIMATE_FIELDS, "reason"),
    )


def by_selection(analysis: Analysis) -> list[Table]:
    """The selection rules held against each other, where there are several."""
    found = analysis.selection_rules
    if found is None:
        return []
    rows = []
    for row in found.rows:
        difference, pair = row.difference, (row.localisation, row.reference)
        low, high = (None, None) if difference is None else (difference.ci_low, difference.ci_high)
        gain = None if difference is None else difference.estimate
        cells: list[Cell] = [(row.selection, name(row.selection)), *_spread(row.outcome), (gain, number(gain, 3))]
        cells += [((low, high), interval(low, high, 3))]
        for entry in pair:
            bounds = (None, None) if entry is None else (entry.ci_low, entry.ci_high)
            rho = None if entry is None else entry.estimate
            cells += [(rho, number(rho)), (bounds, interval(*bounds))]
        rows.append((*cells, (row.n, f"{row.n:,}")))
    outcome = analysis.primary.outcome
    return [
        Table(
            name="selection_rules",
            title="Which epoch is scored",
            caption=(
                f"{outcome} by selection rule; the first rule is the one that this report analyses, and the difference "
                "is to it, on the same trainings. ρ within cells of the primary’s map score and of the AUC on the ID "
                "test set with the outcome, among the trials of each rule."
            ),
            headings=(
                *("selection", outcome, "sd", "difference", "95 % interval"),
                *("ρ (map, OOD)", "95 % interval", "ρ (ID, OOD)", "95 % interval", "n"),
            ),
            rows=tuple(rows),
            text_columns=1,
            fields=(
                *("selection", "outcome", "sd", "difference", "difference_interval"),
                *("rho_localisation", "rho_localisation_interval", "rho_id", "rho_id_interval", "n"),
            ),
        )
    ]


def by_control(analysis: Analysis) -> list[Table]:
    """Controls of the masks against right masks, over everything and in each cell, where there are any."""
    found, primary = analysis.controls, analysis.primary
    if found is None:
        return []
    outcome, score = column_name(primary.outcome), name(primary.metric)
    headings = (outcome, "change", "95 % interval", score, "change", "95 % interval", "pairs", "data seeds")
    fields = (
        *(f"{primary.outcome}.right", "outcome_change", "outcome_interval"),
        *(f"{primary.column}.right", "localisation_change", "localisation_interval", "n", "n_data_seeds"),
    )

    def numbers(row: ControlRow) -> list[Cell]:
        cells: list[Cell] = []
        for change in (row.outcome, row.localisation):
            cells += [(change.right, number(change.right)), (change.estimate, number(change.estimate, 3))]
            cells += [((change.ci_low, change.ci_high), interval(change.ci_low, change.ci_high, 3))]
        return [
            *cells,
            (row.outcome.n, f"{row.outcome.n:,}"),
            (row.outcome.n_data_seeds, f"{row.outcome.n_data_seeds:,}"),
        ]

    caption = (
        f"{outcome} and {score} under right masks, and how the control changes them: paired trials that differ in "
        "nothing else, averaged within data seeds and then over them."
    )
    overall = Table(
        name="controls",
        title="Controls: is it what the masks show that helps?",
        caption=f"{caption} Cells of severities above 0, each counting the same.",
        headings=("instead of right masks", *headings),
        rows=tuple(((row.control, row.control), *numbers(row)) for row in found.overall),
        text_columns=1,
        fields=("control", *fields),
    )
    rows = tuple(
        (
            (row.dataset, name(row.dataset or "")),
            (row.severity, severity(row.severity or 0.0)),
            (row.method, name(row.method or "")),
            (row.control, row.control),
            *numbers(row),
        )
        for row in found.cells
    )
    by_cell = Table(
        name="controls_by_cell",
        title="Controls in every cell",
        caption=caption,
        headings=("dataset", "s", "method", "instead of right masks", *headings),
        rows=rows,
        text_columns=4,
        fields=("dataset", "severity", "method", "control", *fields),
    )
    return [overall, by_cell]


def _pairs(correlations: Iterable[Correlation]) -> list[tuple[Correlation, Correlation]]:
    """(Spearman, Kendall) of the same score, scope and stratum."""
    found: dict[tuple[Any, ...], dict[str, Correlation]] = {}
    for c in correlations:
        found.setdefault((*_score(c), c.scope, c.stratum), {})[c.statistic] = c
    return [(both[STATISTICS[0]], both[STATISTICS[1]]) for both in found.values()]


def _score(entry: Correlation) -> tuple[str, str, str]:
    return entry.split, entry.metric, entry.attribution


def where(entry: Correlation) -> str:
    """The stratum of a correlation in words."""
    if entry.dataset is None or entry.severity is None:
        return "everything"
    return f"{name(entry.dataset)}, s = {severity(entry.severity)}"


def _estimate(rho: Correlation, tau: Correlation) -> list[Cell]:
    return [
        (rho.estimate, number(rho.estimate)),
        ((rho.ci_low, rho.ci_high), interval(rho.ci_low, rho.ci_high)),
        (rho.p_value, p_value(rho.p_value)),
        (rho.p_adjusted, p_value(rho.p_adjusted)),
        (tau.estimate, number(tau.estimate)),
        ((tau.ci_low, tau.ci_high), interval(tau.ci_low, tau.ci_high)),
        (rho.n, f"{rho.n:,}"),
        (rho.n_clusters, f"{rho.n_clusters:,}"),
    ]


def _spread(spread: Spread) -> list[Cell]:
    deviation = "–" if spread.sd is None else f"± {number(spread.sd)}"
    return [(spread.mean, number(spread.mean)), (spread.sd, deviation)]


def _numbered_sd(fields: list[str]) -> list[str]:
    """Each "sd" named for the column before it."""
    return [f"{fields[i - 1]}.sd" if field == "sd" else field for i, field in enumerate(fields)]
