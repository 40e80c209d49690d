"""Within a model: does a better map on an image go with a right answer on it?"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from analysis.answer.answer import Analysis
from analysis.numbers import column_name, count, name, with_interval
from analysis.sections.drawing import (
    INK,
    MUTED,
    Drawing,
    in_order,
    interval_line,
    look,
    new_figure,
    row_labels,
    settings,
)
from analysis.sections.section import OTHER_WAYS, Section, if_estimated, no_interval
from analysis.sections.table import Table, cell_entries, estimated, remark, whole
from analysis.stats.cluster_bootstrap import Resamples
from analysis.stats.rank_correlation import Floats, Ints
from analysis.stats.replicated import Estimate, mean
from analysis.trials.design import cell_rows
from records import columns

TITLE = "Does a better map on an image go with a right answer on it?"
CHANCE = 0.5


@dataclass(frozen=True, kw_only=True)
class PerImage(Estimate):
    """Mean over models of the AUROC of an image's localisation score for a right answer on it, in [0, 1]."""

    attribution: str
    dataset: str | None
    """None for all strata with a shift."""
    severity: float | None
    method: str | None
    """None for all methods."""
    n: int
    """Models with a value: at least five right and five wrong answers on the images with a map score."""
    n_missing: int
    """Models without a value, such as those that are right on nearly all images."""
    n_clusters: int
    """Data seeds."""


def per_image(analysis: Analysis) -> tuple[PerImage, ...]:
    """The primary's attribution over everything, by method and by cell; then the other attributions over everything.

    Each model counts the same within a row. The interval is Student's over data seeds, by the delete-one-data-seed
    jackknife; it needs 6 data seeds on each dataset.
    """
    table, split, metric = analysis.trials.table, analysis.primary.split, analysis.primary.metric
    prefix = columns.correctness_auroc(split, metric, "")
    present = [str(column).removeprefix(prefix) for column in table if str(column).startswith(prefix)]
    first = analysis.primary.attribution
    attributions = [a for a in (first, *sorted(set(present) - {first})) if a in present]
    if not attributions:
        absent = f"no trial has the column {columns.correctness_auroc(split, metric, first)!r}"
        return (_entry(first, None, np.empty(0), np.empty(0, dtype=np.intp), analysis.resamples, reason=absent),)
    cells = cell_rows(table)
    shifted = {cell: rows for cell, rows in cells.items() if cell[1] > 0}
    results = []
    for attribution in attributions:
        values = table[prefix + attribution].to_numpy(dtype=np.float64)
        everything = np.sort(np.concatenate([np.empty(0, dtype=np.intp), *shifted.values()]))
        results.append(_entry(attribution, None, values, everything, analysis.resamples))
        if attribution != attributions[0]:
            continue
        for method in in_order(cell[2] for cell in shifted):
            rows = np.sort(np.concatenate([rows for cell, rows in shifted.items() if cell[2] == method]))
            results.append(_entry(attribution, (None, None, method), values, rows, analysis.resamples))
        results += [_entry(attribution, cell, values, rows, analysis.resamples) for cell, rows in cells.items()]
    return tuple(results)


def _entry(
    attribution: str,
    place: tuple[str | None, float | None, str | None] | None,
    values: Floats,
    rows: Ints,
    resamples: Resamples,
    reason: str | None = None,
) -> PerImage:
    dataset, severity, method = place or (None, None, None)
    kept = rows[np.isfinite(values[rows])]
    head = PerImage(
        attribution=attribution,
        dataset=dataset,
        severity=severity,
        method=method,
        n=len(kept),
        n_missing=len(rows) - len(kept),
        n_clusters=resamples.n_clusters(kept),
        reason=reason or (None if len(kept) else "no model has five right and five wrong answers on the scored images"),
    )
    return head.of(mean(values[kept], resamples.cluster[kept], resamples.dataset)) if len(kept) else head


def _whole(result: Iterable[PerImage]) -> list[PerImage]:
    return [entry for entry in result if entry.dataset is None and entry.method is None]


def _sentence(analysis: Analysis, result: tuple[PerImage, ...]) -> str:
    whole = _whole(result)[0]
    if whole.estimate is None:
        return f"Not estimated: {whole.reason}."
    if whole.ci_low is None or whole.ci_high is None:
        claim = "Within a model, the map of an image"
        says = "is compared with whether its answer is right"
    elif whole.ci_low > CHANCE:
        claim, says = "Within a model, images with a better map", "are more often answered rightly"
    elif whole.ci_high < CHANCE:
        claim, says = "Within a model, images with a better map", "are less often answered rightly"
    else:
        claim, says = "These models do not show that, within a model, images with a better map", "are answered rightly"
    score = f"{name(analysis.primary.metric)} of {name(whole.attribution)}"
    return (
        f"{claim} {says}: the AUROC of an image’s {score} for a right answer is {with_interval(whole)}, where 0.5 is "
        f"chance, on average over {_models(whole)}.{no_interval([whole])}"
    )


def _models(whole: PerImage) -> str:
    """The models that the mean is over: some have too few right or wrong answers."""
    models = count(whole.n + whole.n_missing, "model") + " in the strata with a shift"
    if not whole.n_missing:
        return models
    return f"{whole.n:,} of {models}, those with at least five right and five wrong answers on the scored images"


def _figure(analysis: Analysis, result: tuple[PerImage, ...]) -> Drawing | None:
    """All methods, then each, over the strata with a shift."""
    rows = [entry for entry in result if entry.dataset is None and entry.attribution == result[0].attribution]
    rows = [entry for entry in rows if entry.estimate is not None]
    if not rows:
        return None
    styles = look(entry.method for entry in rows if entry.method is not None)
    with settings():
        figure = new_figure(0.7 + 0.26 * len(rows))
        axes = figure.subplots()
        axes.axvline(CHANCE, color=MUTED, linewidth=0.8)
        for position, entry in enumerate(rows):
            colour, marker = styles[entry.method] if entry.method is not None else (INK, "D")
            interval_line(axes, entry, -position, color=colour, linewidth=1.6)
            axes.plot([entry.estimate or 0.0], [-position], marker=marker, color=colour, markersize=5)
        row_labels(axes, ["all methods" if entry.method is None else name(entry.method) for entry in rows])
        axes.set_xlabel("AUROC of an image’s map for a right answer")
    words = "; ".join(f"{name(entry.method or 'all methods')}: {with_interval(entry)}" for entry in rows)
    return Drawing(
        name="per_image",
        title=TITLE,
        caption=(
            f"AUROC of {column_name(analysis.primary.column)}, image by image within a model, for a right answer; mean "
            "over the models of a method in the strata with a shift. The line is chance."
        ),
        alt=f"Dots with intervals. {words}.",
        figure=figure,
    )


def _table(analysis: Analysis, result: tuple[PerImage, ...]) -> Table:
    return Table(
        name="per_image",
        title=TITLE,
        caption="Mean AUROC over models of an image’s localisation score for a right answer; 0.5 is chance.",
        headings=("attribution", "dataset", "s", "method", "AUROC", "95 % interval", "models", "without", "remark"),
        rows=tuple(
            (
                (entry.attribution, name(entry.attribution)),
                *(
                    cell_entries(entry.dataset, entry.severity, entry.method)
                    if entry.dataset is not None
                    else ((None, "shifted"), (None, ""), (entry.method, name(entry.method or "all")))
                ),
                *estimated(entry),
                whole(entry.n),
                whole(entry.n_missing),
                remark(entry.reason or entry.interval_reason),
            )
            for entry in result
        ),
        text_columns=4,
        fields=("attribution", "dataset", "severity", "method", "auroc", "interval", "n", "n_missing", "remark"),
        group=2,
        fold=0,
    )


SECTION = Section(
    key="per_image",
    title=TITLE,
    part=OTHER_WAYS,
    compute=per_image,
    sentence=_sentence,
    figures=lambda analysis, result: [_figure(analysis, result)],
    tables=lambda analysis, result: [_table(analysis, result)],
    method=lambda analysis, result: {
        "Image by image": (
            "Within each model, the AUROC of the images’ localisation scores for a right answer: the chance that an "
            "image answered rightly has a better map than one answered wrongly. A model that is right, or wrong, on "
            "fewer than five of the images with a mask has none."
        )
    },
    reported=if_estimated("the AUROC, within a model, of an image’s localisation score for a right answer"),
)
