"""Localisation against outcome, one point a trial, one panel per dataset and severity."""

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from analysis.answer.answer import Analysis
from analysis.report.numbers import name, number, severity
from analysis.sections.figures.style import INK, MUTED, Drawing, legend_below, look, new_figure, settings
from analysis.stats.rank_correlation import MINIMUM
from records import columns

NAME = "localisation_against_outcome"
MANY = 5000


def draw(analysis: Analysis) -> Drawing | None:
    """None where the table has no column for the primary's score."""
    table, primary = analysis.trials.table, analysis.primary
    if primary.column not in table:
        return None
    datasets = sorted(table["dataset"].unique())
    severities = sorted(table["severity"].unique())
    styles = look(table["method"])
    size = 18 if len(table) <= 1500 else 9
    with settings():
        figure = new_figure(1.1 + 2.15 * len(severities), 0.9 + 2.35 * len(datasets))
        panels = figure.subplots(len(datasets), len(severities), squeeze=False, sharey=True, sharex="row")
        for row, dataset in enumerate(datasets):
            for column, level in enumerate(severities):
                axes = panels[row][column]
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
                        rasterized=len(table) > MANY,  # an SVG of every point would take long to open
                    )
                for method, (colour, _) in styles.items():
                    ends = trend(by_method[method][[primary.column, primary.outcome]]) if method in by_method else None
                    if ends is not None:
                        axes.plot(*ends, color="white", linewidth=2.8, solid_capstyle="butt")
                        axes.plot(*ends, color=colour, linewidth=1.5, solid_capstyle="butt")
                chance = _chance(analysis, part)
                if chance is not None:
                    axes.axvline(chance, color=MUTED, linestyle=":", linewidth=1)
                axes.set_title(f"s = {severity(level)}\n{_rho(analysis, dataset, level)}", loc="left", fontsize=8)
                if row == len(datasets) - 1:
                    axes.set_xlabel(name(primary.metric))
            panels[row][0].set_ylabel(f"{name(dataset)}\n{outcome_name(primary.outcome)}")
        if primary.outcome.endswith(".auc"):
            panels[0][0].set_ylim(-0.03, 1.03)
        handles = [
            Line2D([], [], color=c, marker=m, linestyle="", markersize=5, label=name(method))
            for method, (c, m) in styles.items()
        ]
        handles.append(Line2D([], [], color=INK, linewidth=1.5, label="trend within a cell"))
        if any(_chance(analysis, table[table["dataset"] == d]) is not None for d in datasets):
            handles.append(Line2D([], [], color=MUTED, linestyle=":", label=f"chance {name(primary.metric)}"))
        legend_below(figure, handles, columns=max(2, 2 * len(severities)))
    what = f"{name(primary.metric)} of {name(primary.attribution)} on the {name(primary.split)} set"
    return Drawing(
        name=NAME,
        title="Does a better map go with better performance?",
        caption=(
            f"Each point is one trial: {what} against {outcome_name(primary.outcome)}. Lines are the straight trend "
            "within each cell. Above each panel "
            "stands its rank correlation over all trials, which mixes methods, and in brackets the one "
            "within cells, which does not."
        ),
        alt=(
            f"Scatter plots of {what} against {outcome_name(primary.outcome)}, one panel per dataset and "
            "severity, "
            f"coloured by method. " + _in_words(analysis, datasets, severities)
        ),
        figure=figure,
    )


def outcome_name(outcome: str) -> str:
    """ "OOD test AUC" for `test_ood.auc`."""
    split, _, measure = outcome.rpartition(".")
    return f"{name(split)} {'AUC' if measure == 'auc' else measure}"


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
    if whole is None:
        return "no trials"
    within = analysis.find("within_cell", dataset=dataset, severity=level)
    return f"ρ = {number(whole.estimate)} ({number(within.estimate if within else None)})"


def _chance(analysis: Analysis, part: pd.DataFrame) -> float | None:
    column = columns.chance_iou(analysis.primary.split)
    if analysis.primary.metric != "iou" or column not in part:
        return None
    values = part[column].dropna()
    return float(np.median(values)) if len(values) else None


def _in_words(analysis: Analysis, datasets: list[str], severities: list[float]) -> str:
    parts = [f"{name(d)} at s = {severity(s)}: {_rho(analysis, d, s)}" for d in datasets for s in severities]
    return "; ".join(parts) + "."
