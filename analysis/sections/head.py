"""The first screen: the verdict, what it rests on, and every trial as a point of the key figure."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.answer.answer import Analysis
from analysis.numbers import capitalized, column_name, count, listed, name, number, severity, stratum_name
from analysis.sections import drawing
from analysis.sections.section import Section
from analysis.sections.selection_regret import decision
from analysis.stats.rank_correlation import MINIMUM
from records import columns

RASTERIZED = 5000
"""Trials beyond which an SVG of every point would take long to open."""


SEVERITY = (
    "s is the severity of the shift: 0 is none; at 1 the cue that models may take as a shortcut is fully reversed on "
    "OOD images, so that a model that relies on it has an AUC near 0, not 0.5."
)


def reading(analysis: Analysis) -> str:
    """How to read the answers to the questions; "" if none has a number."""
    if all(part.ci_low is None for part in analysis.comparisons):
        return ""
    _, score, outcome = analysis.data
    unshifted = "unshifted (ID) images"
    images = unshifted if analysis.primary.split == "test_id" else "shifted (OOD) images"
    costs = decision(analysis) is not None and images != unshifted
    effect = number(analysis.verdict.smallest_effect, 1)
    return (
        f"Each number is the rank correlation of {column_name(score)} with {column_name(outcome)}, with its 95\u00a0% "
        f"interval. These maps are of {images}{f'; the costs are of choices by maps of {unshifted}' * costs}. Yes: the "
        f"interval, widened to hold for all questions together, is above {effect}; no: it is between −{effect} and "
        f"{effect}; reverse: it is below −{effect}; else undecided. Runs of one recipe differ in seeds alone."
    )


def facts(analysis: Analysis) -> list[tuple[str, str]]:
    """What the answer is based on: (a count, what it counts)."""
    table = analysis.trials.table
    methods, datasets, severities = (sorted(table[column].unique()) for column in ("method", "dataset", "severity"))
    names = list(map(name, drawing.in_order(methods)))
    if len(names) > drawing.MANY:
        names = [*names[: len(drawing.KNOWN)], f"{len(names) - len(drawing.KNOWN)} more"]
    dates = started(table)
    return [
        (count(len(table), "trial"), "completed"),
        (data_seeds(table), "on each dataset, the unit of independence")
        if analysis.trials.data_seeds_known
        else ("data seeds not recorded", "so it is not known which trials share their images"),
        (count(len(methods), "method"), ", ".join(names)),
        (count(len(datasets), "dataset"), ", ".join(map(name, datasets))),
        (count(len(severities), "severity", "severities"), ", ".join(map(severity, severities))),
        *([(" to ".join(dict.fromkeys(dates)), "first and last trial started")] if dates else []),
    ]


def data_seeds(table: pd.DataFrame) -> str:
    """The number of data seeds per dataset: "6 data seeds", or "6 to 20 data seeds" where datasets differ."""
    per_dataset = table.groupby("dataset")["data_seed"].nunique()
    fewest, most = int(per_dataset.min()), int(per_dataset.max())
    return ("" if fewest == most else f"{fewest:,} to ") + count(most, "data seed")


def started(table: pd.DataFrame) -> list[str]:
    """The UTC dates on which the first and the last trial started; empty if no trial has a time."""
    if "started_at" not in table:
        return []
    times = pd.to_datetime(table["started_at"], utc=True, errors="coerce", format="ISO8601").dropna()
    return [f"{day:%Y-%m-%d}" for day in (times.min(), times.max())] if len(times) else []


def provenance(analysis: Analysis) -> str:
    """The known versions of the code and commands that made the trials."""
    table, commands = analysis.trials.table, analysis.trials.commands
    versions = sorted(table["code_version"].dropna().astype(str).unique()) if "code_version" in table else []
    made_by = f"The trials were run by version{'s' if len(versions) > 1 else ''} {listed(versions)}."
    return " ".join([*([made_by] if versions else []), *([f"Commands: {'; '.join(commands)}."] if commands else [])])


def _method(analysis: Analysis, result: None) -> dict[str, str]:
    return {
        "Cell, stratum": (
            "A cell is the trials of one dataset, severity and method; a stratum is those of one dataset and severity."
        ),
        "Severity s": (
            "How far the agreement of cue and label moves from training to the shifted test set. "
            f"{capitalized(SEVERITY)} The question and the methods are those of Viviano et al. (2021)."
        ),
        "IoU": (
            "Intersection over union of the mask and the strongest pixels of the map, as many as the mask has; from 0 "
            "to 1. A random map on a mask that covers the share p of the image scores p / (2 − p), shown as chance."
        ),
    }


def _panel_rows(analysis: Analysis) -> dict[tuple[str, float], pd.DataFrame]:
    """The trials of each panel of the key figure; none without the primary's score."""
    table = analysis.trials.table
    if analysis.primary.column not in table:
        return {}
    groups: Any = table.groupby(["dataset", "severity"])
    return {(str(dataset), float(level)): rows for (dataset, level), rows in groups}


def _figure(analysis: Analysis) -> drawing.Drawing | None:
    """Localisation against outcome, one panel per dataset and severity; None without the primary's score."""
    strata, table, primary = _panel_rows(analysis), analysis.trials.table, analysis.primary
    if not strata:
        return None
    outcome, rows = column_name(primary.outcome), drawing.rows_of_strata(strata)
    styles = drawing.look(table["method"])
    is_coloured = len(styles) <= drawing.MANY
    if not is_coloured:
        styles = dict.fromkeys(styles, (drawing.PALETTE[1], "o"))
    points: dict[str, Any] = {"alpha": 0.65, "linewidths": 0.3, "edgecolors": "white"}
    points |= {"s": 18 if len(table) <= 1500 else 9, "rasterized": len(table) > RASTERIZED}
    chances = {stratum: _chance(analysis, trials) for stratum, trials in strata.items()}
    with drawing.settings():
        longest = max(map(len, rows.values()))
        width = max(1.6, (drawing.PAGE - 0.8) / longest)
        figure = drawing.new_figure(0.9 + min(3.6, 0.4 + width) * len(rows), 0.8 + width * longest)
        panels = drawing.strata_panels(figure, rows, name(primary.metric), sharey=True, sharex="row")
        for (dataset, level), axes in panels.items():
            by_method = dict(list(strata[dataset, level].groupby("method")))
            shown = [(*styles[method], by_method[method]) for method in styles if method in by_method]
            for colour, marker, trials in shown:
                axes.scatter(trials[primary.column], trials[primary.outcome], c=colour, marker=marker, **points)
            for colour, _, trials in shown:
                ends = trend(trials[[primary.column, primary.outcome]])
                if ends is not None and is_coloured:
                    axes.plot(*ends, color="white", linewidth=2.8, solid_capstyle="butt")
                    axes.plot(*ends, color=colour, linewidth=1.5, solid_capstyle="butt")
                elif ends is not None:
                    axes.plot(*ends, color=drawing.INK, linewidth=0.8, alpha=0.5, zorder=0.9)
            if (chance := chances[dataset, level]) is not None:
                axes.axvline(chance, color=drawing.MUTED, linestyle=":", linewidth=1)
            axes.set_title(f"s = {severity(level)}\n{_rho(analysis, dataset, level)}", loc="left", fontsize=8)
            if level == rows[dataset][0]:
                axes.set_ylabel(f"{name(dataset)}\n{outcome}")
            if primary.outcome.endswith(".auc"):
                axes.set_ylim(-0.03, 1.03)
        one_look = {"one trial": (drawing.PALETTE[1], "o")}
        handles = drawing.method_keys(styles if is_coloured else one_look, linestyle="", markersize=5)
        handles.append(drawing.legend_key("trend within a cell", color=drawing.INK, linewidth=1.5))
        if any(chance is not None for chance in chances.values()):
            handles.append(drawing.legend_key(f"chance {name(primary.metric)}", color=drawing.MUTED, linestyle=":"))
        drawing.legend_below(figure, handles, columns=9)
    correlations = "; ".join(f"{stratum_name(d, s)}: {_rho(analysis, d, s)}" for d, s in panels)
    return drawing.Drawing(
        name="localisation_against_outcome",
        caption=(
            f"Each point is one trial: {analysis.primary_name} against {outcome}. Lines are the linear trend within "
            "each cell. Above each panel is the rank correlation over all trials, with methods mixed, and in brackets "
            "the one within cells."
        ),
        alt=(
            f"Scatter plots of {analysis.primary_name} against {outcome}, one panel per dataset and severity"
            f"{', coloured by method' if is_coloured else ''}. {correlations}."
        ),
        figure=figure,
    )


def trend(pairs: pd.DataFrame) -> tuple[list[float], list[float]] | None:
    """The ends of the least-squares line over the middle 95 % of the first column.

    None with fewer than 4 pairs or a constant column; such a cell has no correlation either.
    """
    known = pairs.dropna().to_numpy(dtype=np.float64)
    if len(known) < MINIMUM["spearman"] or (np.ptp(known, axis=0) == 0).any():
        return None
    fit = stats.linregress(*known.T)
    ends = np.quantile(known[:, 0], [0.025, 0.975])
    return ends.tolist(), (fit.intercept + fit.slope * ends).tolist()


def _rho(analysis: Analysis, dataset: str, level: float) -> str:
    whole = analysis.find("stratum", dataset=dataset, severity=level)
    within = analysis.find("within_cell", dataset=dataset, severity=level)
    return f"ρ = {number(whole.estimate if whole else None)} ({number(within.estimate if within else None)})"


def _chance(analysis: Analysis, part: pd.DataFrame) -> float | None:
    column = columns.chance_iou(analysis.primary.split)
    if analysis.primary.metric != "iou" or column not in part:
        return None
    values = part[column].dropna()
    return float(np.median(values)) if len(values) else None


def _points(analysis: Analysis) -> dict[str, Any] | None:
    """The key figure for the page's script: the columns it shows, the looks of methods, and the panels."""
    primary, panels = analysis.primary, []
    for (dataset, level), rows in _panel_rows(analysis).items():
        ends = {m: trend(trials[[primary.column, primary.outcome]]) for m, trials in rows.groupby("method", sort=False)}
        panels.append(
            {
                "dataset": dataset,
                "severity": level,
                "title": f"{stratum_name(dataset, level)}: {_rho(analysis, dataset, level)}",
                "chance": _chance(analysis, rows),
                "trends": {m: list(zip(*line, strict=True)) for m, line in ends.items() if line is not None},
            }
        )
    looks = drawing.look(analysis.trials.table["method"])
    return (
        {
            "x": primary.column,
            "y": primary.outcome,
            "labels": [name(primary.metric), column_name(primary.outcome)],
            "is_auc": primary.outcome.endswith(".auc"),
            "methods": [[method, name(method), colour, marker] for method, (colour, marker) in looks.items()],
            "panels": panels,
        }
        if panels
        else None
    )


SECTION = Section(
    key="answer",
    title="Does a better map go with better performance?",
    figures=lambda analysis, result: [_figure(analysis)],
    interactive=lambda analysis, result: _points(analysis),
    method=_method,
)
