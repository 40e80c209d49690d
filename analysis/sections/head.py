"""The first screen: the verdict, what it rests on, and every trial as a point of the key figure."""

from typing import Any

import numpy as np
import pandas as pd

from analysis.answer.answer import Analysis
from analysis.numbers import column_name, count, listed, name, number, severity, stratum_name
from analysis.sections.drawing import (
    INK,
    KNOWN,
    MANY,
    MUTED,
    PAGE,
    PALETTE,
    Drawing,
    in_order,
    legend_below,
    legend_key,
    look,
    method_keys,
    new_figure,
    rows_of_strata,
    settings,
    strata_panels,
)
from analysis.sections.section import Section
from analysis.stats.rank_correlation import MINIMUM
from records import columns

TITLE = "Does a better map go with better performance?"
RASTERIZED = 5000
"""Trials beyond which an SVG of every point would take long to open."""


def facts(analysis: Analysis) -> list[tuple[str, str]]:
    """What the answer rests on: (a count, what it counts)."""
    table = analysis.trials.table
    methods, datasets, severities = (table[column].unique() for column in ("method", "dataset", "severity"))
    names = list(map(name, in_order(methods)))
    if len(names) > MANY:
        names = [*names[: len(KNOWN)], f"{len(names) - len(KNOWN)} more"]
    dates = started(table)
    return [
        (count(len(table), "trial"), "completed"),
        (data_seeds(table), "on each dataset, the unit of independence")
        if analysis.trials.data_seeds_known
        else ("data seeds not recorded", "so it is not known which trials share their images"),
        (count(len(methods), "method"), ", ".join(names)),
        (count(len(datasets), "dataset"), ", ".join(sorted(map(name, datasets)))),
        (count(len(severities), "severity", "severities"), ", ".join(map(severity, sorted(severities)))),
        *([(" to ".join(dict.fromkeys(dates)), "first and last trial started")] if dates else []),
    ]


def data_seeds(table: pd.DataFrame) -> str:
    """How many data seeds a dataset has: "6 data seeds", or "6 to 20 data seeds" where datasets differ."""
    per_dataset = table.groupby("dataset")["data_seed"].nunique()
    fewest, most = int(per_dataset.min()), int(per_dataset.max())
    return ("" if fewest == most else f"{fewest:,} to ") + count(most, "data seed")


def started(table: pd.DataFrame) -> list[str]:
    """The days on which the first and the last trial started, in UTC; none where no trial has a time."""
    if "started_at" not in table:
        return []
    times = pd.to_datetime(table["started_at"], utc=True, errors="coerce", format="ISO8601").dropna()
    return [f"{day:%Y-%m-%d}" for day in (times.min(), times.max())] if len(times) else []


def provenance(analysis: Analysis) -> str:
    """Which versions of the code the trials were run by, and by which commands, as far as they are known."""
    table = analysis.trials.table
    versions = sorted(table["code_version"].dropna().astype(str).unique()) if "code_version" in table else []
    commands = analysis.trials.commands
    said = [
        f"The trials were run by {'version' if len(versions) == 1 else 'versions'} {listed(versions)}."
        if versions
        else "",
        f"Commands: {'; '.join(commands)}." if commands else "",
    ]
    return " ".join(filter(None, said))


def _method(analysis: Analysis, result: None) -> dict[str, str]:
    return {
        "Cell, stratum": (
            "A cell is the trials of one dataset, severity and method; a stratum is those of one dataset and severity."
        ),
        "Severity s": (
            "How far the cue’s agreement with the label moves from training to the shifted test set: 0 is no shift, 1 "
            "a fully reversed cue. The question and the methods are those of Viviano et al. (2021)."
        ),
        "IoU": (
            "The overlap of the mask with as many of the map’s strongest pixels as the mask has: intersection over "
            "union, from 0 to 1. A random map on a mask that covers the share p of the image scores p / (2 − p), shown "
            "as chance."
        ),
    }


def _figure(analysis: Analysis) -> Drawing | None:
    """Localisation against outcome, one panel per dataset and severity; None without the primary's score."""
    table, primary = analysis.trials.table, analysis.primary
    if primary.column not in table:
        return None
    outcome = column_name(primary.outcome)
    rows = rows_of_strata(_strata(table))
    styles = look(table["method"])
    apart = len(styles) <= MANY
    if not apart:
        styles = dict.fromkeys(styles, (PALETTE[1], "o"))
    size = 18 if len(table) <= 1500 else 9
    with settings():
        longest = max(map(len, rows.values()))
        width = max(1.6, (PAGE - 0.8) / longest)
        figure = new_figure(0.9 + min(3.6, 0.4 + width) * len(rows), 0.8 + width * longest)
        panels = strata_panels(figure, rows, name(primary.metric), sharey=True, sharex="row")
        for (dataset, level), axes in panels.items():
            part = table[(table["dataset"] == dataset) & (table["severity"] == level)]
            by_method = dict(list(part.groupby("method")))
            for method, (colour, marker) in styles.items():
                mine = by_method.get(method, part.iloc[:0])
                axes.scatter(
                    mine[primary.column],
                    mine[primary.outcome],
                    s=size,
                    c=colour,
                    marker=marker,
                    alpha=0.65,
                    linewidths=0.3,
                    edgecolors="white",
                    rasterized=len(table) > RASTERIZED,
                )
            for method, (colour, _) in styles.items():
                ends = trend(by_method[method][[primary.column, primary.outcome]]) if method in by_method else None
                if ends is not None and apart:
                    axes.plot(*ends, color="white", linewidth=2.8, solid_capstyle="butt")
                    axes.plot(*ends, color=colour, linewidth=1.5, solid_capstyle="butt")
                elif ends is not None:
                    axes.plot(*ends, color=INK, linewidth=0.8, alpha=0.5, zorder=0.9)
            chance = _chance(analysis, part)
            if chance is not None:
                axes.axvline(chance, color=MUTED, linestyle=":", linewidth=1)
            axes.set_title(f"s = {severity(level)}\n{_rho(analysis, dataset, level)}", loc="left", fontsize=8)
            if level == rows[dataset][0]:
                axes.set_ylabel(f"{name(dataset)}\n{outcome}")
            if primary.outcome.endswith(".auc"):
                axes.set_ylim(-0.03, 1.03)
        handles = method_keys(styles if apart else {"one trial": (PALETTE[1], "o")}, linestyle="", markersize=5)
        handles.append(legend_key("trend within a cell", color=INK, linewidth=1.5))
        if any(_chance(analysis, table[table["dataset"] == d]) is not None for d in rows):
            handles.append(legend_key(f"chance {name(primary.metric)}", color=MUTED, linestyle=":"))
        legend_below(figure, handles, columns=9)
    correlations = "; ".join(f"{stratum_name(d, s)}: {_rho(analysis, d, s)}" for d, s in panels)
    return Drawing(
        name="localisation_against_outcome",
        title=TITLE,
        caption=(
            f"Each point is one trial: {analysis.primary_name} against {outcome}. Lines are the straight trend within "
            "each cell. The number above a panel is its rank correlation over all trials, which mixes methods; the one "
            "in brackets is within cells, which does not."
        ),
        alt=(
            f"Scatter plots of {analysis.primary_name} against {outcome}, one panel per dataset and severity"
            f"{', coloured by method' if apart else ''}. {correlations}."
        ),
        figure=figure,
    )


def _strata(table: pd.DataFrame) -> set[tuple[str, float]]:
    return set(zip(table["dataset"], table["severity"], strict=True))


def trend(pairs: pd.DataFrame) -> tuple[list[float], list[float]] | None:
    """The ends of the least-squares line over the middle 95 % of the first column.

    None with fewer than 4 pairs, or where either column is constant: such a cell has no correlation either.
    """
    known = pairs.dropna().to_numpy(dtype=np.float64)
    if len(known) < MINIMUM["spearman"] or (np.ptp(known, axis=0) == 0).any():
        return None
    x, y = known.T
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
    ends = np.quantile(x, [0.025, 0.975])
    return ends.tolist(), (y.mean() + slope * (ends - x.mean())).tolist()


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
    """The figure for the page's script: its columns of the trials, how methods look, and what else each panel has."""
    table, primary = analysis.trials.table, analysis.primary
    if primary.column not in table:
        return None
    panels = []
    for dataset, level in sorted(_strata(table)):
        part = table[(table["dataset"] == dataset) & (table["severity"] == level)]
        ends = {m: trend(own[[primary.column, primary.outcome]]) for m, own in part.groupby("method", sort=False)}
        panels.append(
            {
                "dataset": dataset,
                "severity": level,
                "title": f"{stratum_name(dataset, level)}: {_rho(analysis, dataset, level)}",
                "chance": _chance(analysis, part),
                "trends": {m: list(zip(*line, strict=True)) for m, line in ends.items() if line is not None},
            }
        )
    return {
        "x": primary.column,
        "y": primary.outcome,
        "labels": [name(primary.metric), column_name(primary.outcome)],
        "is_auc": primary.outcome.endswith(".auc"),
        "methods": [[m, name(m), colour, marker] for m, (colour, marker) in look(table["method"]).items()],
        "panels": panels,
    }


SECTION = Section(
    key="answer",
    title=TITLE,
    figures=lambda analysis, result: [_figure(analysis)],
    interactive=lambda analysis, result: _points(analysis),
    method=_method,
    citations={
        "Viviano et al. 2021": "J. D. Viviano, B. Simpson, F. Dutil, Y. Bengio, J. P. Cohen, Saliency is a possible "
        "red herring when diagnosing poor generalization. ICLR 2021, arXiv:1910.00199.",
    },
)
