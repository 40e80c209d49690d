"""Mask controls against right masks: is it what the masks show that helps?

A mask control is a trial whose masks are wrong, on part of the images or on test images too
(`records.columns.CONTROLS`). It is no evidence on whether good maps go with good performance, so it stays out of the
verdict and of every correlation. Here it is paired with the trial that differs in nothing else. Beside the controls,
for the same methods: coarser masks (dilated ones are right masks, and stay in the verdict), no masks (the baseline) and
balanced data (severity 0).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.answer.answer import Analysis
from analysis.numbers import column_name, count, interval, name, number, with_interval
from analysis.sections.drawing import INK, MUTED, PALETTE, Drawing, interval_line, new_figure, row_labels, settings
from analysis.sections.section import Section
from analysis.sections.table import Entry, Table, cell_entries, estimated, value, whole
from analysis.stats.estimate import Estimate, jackknife_bounds
from analysis.stats.rank_correlation import Floats
from analysis.trials.trials import Primary
from records import columns

WRONG = {"random": "random masks", "shifted": "shifted masks", "other": "another image’s masks"}
NO_MASKS, BALANCED, ANY_WRONG = "no masks (baseline)", "balanced data (severity 0)", "wrong masks, all kinds"
CONDITION, FRACTION, AT_TEST = columns.CONTROLS
DILATION = columns.hyperparameter("mask_dilation")
CELL = ["control", "dataset", "severity", "method"]
RIGHT = " under right masks"
"""Suffix of the columns of a pair's trial under right masks."""


@dataclass(frozen=True, kw_only=True)
class Change(Estimate):
    """A score's mean under a control less its mean under right masks: of pairs, then over data seeds."""

    right: float | None = None
    """The mean under right masks."""
    n: int = 0
    """Pairs of trials with both scores."""
    n_data_seeds: int = 0


@dataclass(frozen=True, kw_only=True)
class ControlRow:
    """One control in one cell, or its mean over the cells of severities above 0 (dataset, severity and method None)."""

    control: str
    dataset: str | None
    severity: float | None
    method: str | None
    outcome: Change
    localisation: Change


@dataclass(frozen=True)
class MaskControls:
    """All mask controls of a sweep against right masks."""

    n_controls: int
    n_unpaired: int
    """Controls without the trial under right masks that differs in nothing else."""
    overall: tuple[ControlRow, ...]
    cells: tuple[ControlRow, ...]
    sentence: str


def mask_controls(right: pd.DataFrame, controls: pd.DataFrame, primary: Primary) -> MaskControls | None:
    """Each control's change of the outcome and of the primary's score against right masks, per cell and overall.

    A pair's trials agree in everything but the control. Differences of pairs are averaged within a data seed and then
    over data seeds; intervals are Student's over data seeds, by the delete-one-data-seed jackknife, and need 6 of them.
    Overall, each cell of a severity above 0 counts the same.

    Args:
        right: trials under right masks, as in `Trials.table`.
        controls: the others, as in `Trials.controls`.
        primary: whose outcome and score are compared.

    Returns:
        None where no trial is a control and none has a coarser mask than its like.
    """
    scores = [column for column in (primary.outcome, primary.column) if column in right]
    known = columns.settings_in(right)
    right, controls = right[[*known, *scores]], controls[[*known, *scores]]
    named = controls.assign(control=[control_name(settings) for settings in controls.to_dict("records")])
    of_masks = _pairs(named, right, list(columns.CONTROLS), scores)
    own = _stacked([of_masks, _dilated(right, scores)])
    if own.empty and controls.empty:
        return None
    trials = right.loc[own["twin"].unique()]
    changed = _stacked([_no_masks(trials, right, scores), own, _balanced(trials, right, scores)])
    means = [_means(changed, column) for column in (primary.outcome, primary.column)]
    cells = _rows(*(_changes(part, CELL) for part in means))
    shifted = [_with_any_wrong(part[part["severity"] > 0]) for part in means]
    overall = _rows(*(_changes(part, ["control"]) for part in shifted))
    return MaskControls(
        n_controls=len(controls),
        n_unpaired=len(controls) - len(of_masks),
        overall=overall,
        cells=cells,
        sentence=_sentence({row.control: row.outcome for row in overall}, primary),
    )


def control_name(settings: Mapping[Any, Any]) -> str:
    """A control as words, from its settings: "shifted masks, on 25 % of the images"."""
    condition, fraction, at_test = (settings.get(column, default) for column, default in columns.CONTROLS.items())
    parts = []
    if condition != columns.CONTROLS[CONDITION]:
        parts.append({**WRONG, "ones": "all-ones masks"}.get(condition, f"{condition} masks"))
    if fraction != columns.CONTROLS[FRACTION]:
        parts.append(f"{'' if parts else 'masks '}on {100 * fraction:.3g} % of the images")
    if at_test:
        parts.append("masks at test time")
    return ", ".join(parts)


def _place(control: str) -> tuple[int, str]:
    """The order of controls in a table: no masks, wrong ones, the others by name, balanced data."""
    first = (NO_MASKS, *WRONG.values(), ANY_WRONG)
    return (first.index(control) if control in first else len(first) + (control == BALANCED)), control


def _pairs(first: pd.DataFrame, right: pd.DataFrame, apart: Sequence[str], scores: Sequence[str]) -> pd.DataFrame:
    """Trials of `first` beside those of `right` that agree in every setting but `apart`; `twin` is the index there."""
    shared = [c for c in right if c in first and c not in (*scores, *apart)]
    changed = first[[*CELL, "data_seed", *scores]].assign(like=_like(first[shared]))
    twins = right[list(scores)].add_suffix(RIGHT).assign(like=_like(right[shared]), twin=right.index)
    return changed.merge(twins, on="like").drop(columns="like")


def _like(settings: pd.DataFrame) -> list[str]:
    """One text for each trial; as text a list can be compared, and a missing setting equals a missing one."""
    exact = settings.assign(**{seed: settings[seed].astype(float) for seed in ("seed", "data_seed")})
    known = exact.astype(object).where(exact.notna(), "")
    return ["\x1f".join(map(str, row)) for row in known.itertuples(index=False, name=None)]


def _stacked(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The parts that have rows, one below the other."""
    with_rows = [part for part in parts if len(part)]
    return pd.concat(with_rows, ignore_index=True) if with_rows else parts[0]


def _dilated(right: pd.DataFrame, scores: Sequence[str]) -> pd.DataFrame:
    """Trials with dilated masks beside those without, where a sweep has both."""
    pixels = pd.to_numeric(right[DILATION], errors="coerce") if DILATION in right else pd.Series(0, index=right.index)
    labels = [f"masks dilated by {count(int(p), 'pixel')}" for p in pixels[pixels > 0]]
    return _pairs(right[pixels > 0].assign(control=labels), right[pixels == 0], [DILATION], scores)


def _no_masks(trials: pd.DataFrame, right: pd.DataFrame, scores: Sequence[str]) -> pd.DataFrame:
    """The baseline's mean beside each of `trials` on the same images."""
    place = ["dataset", "severity", "data_seed"]
    baseline = right[right["method"] == "baseline"].groupby(place)[list(scores)].mean().reset_index()
    others = trials[trials["method"] != "baseline"].assign(control=NO_MASKS)
    others = others[[*CELL, "data_seed", *scores]].rename(columns={c: c + RIGHT for c in scores})
    return others.merge(baseline, on=place)


def _balanced(trials: pd.DataFrame, right: pd.DataFrame, scores: Sequence[str]) -> pd.DataFrame:
    """The trial at severity 0 beside each of `trials` that agrees with it in all else."""
    balanced, shifted = right[right["severity"] == 0], trials[trials["severity"] > 0]
    pairs = _pairs(shifted.assign(control=BALANCED), balanced, ["severity"], scores)
    return pairs.rename(columns={c: c + RIGHT for c in scores} | {c + RIGHT: c for c in scores})


def _means(changed: pd.DataFrame, column: str) -> pd.DataFrame:
    """For each cell and data seed: the mean under right masks, the mean change, and the number of pairs."""
    both = [column, column + RIGHT] if column in changed else []
    known = changed[changed[both].notna().all(axis=1)] if both else changed.iloc[:0]
    groups = known.groupby([*CELL, "data_seed"])
    mean = groups[both].mean().reindex(columns=[column, column + RIGHT])
    right = mean[column + RIGHT]
    return pd.DataFrame({"right": right, "change": mean[column] - right, "n": groups.size()}).reset_index()


def _with_any_wrong(means: pd.DataFrame) -> pd.DataFrame:
    """The means, and those under any kind of wrong masks once more under one name; there each kind is a cell."""
    kinds = means[means["control"].isin(WRONG.values())]
    means = means.assign(kind=means["control"])
    if kinds["control"].nunique() < 2:
        return means
    return _stacked([means, kinds.assign(kind=kinds["control"], control=ANY_WRONG)])


def _changes(means: pd.DataFrame, by: list[str]) -> dict[tuple[Any, ...], Change]:
    return {key: _change(part) for key, part in means.groupby(by)}


def _rows(*changes: dict[tuple[Any, ...], Change]) -> tuple[ControlRow, ...]:
    """A row for each control or cell of it; `changes` are those of the outcome and those of the score."""
    missing = Change(reason="no pair has both scores")
    rows = []
    for key in changes[0] | changes[1]:
        control, dataset, severity, method = key if len(key) > 1 else (*key, None, None, None)
        outcome, localisation = (change.get(key, missing) for change in changes)
        rows.append(
            ControlRow(
                control=control,
                dataset=dataset,
                severity=severity,
                method=method,
                outcome=outcome,
                localisation=localisation,
            )
        )
    return tuple(sorted(rows, key=lambda row: (row.dataset or "", row.severity, row.method, _place(row.control))))


def _change(means: pd.DataFrame) -> Change:
    """The mean over the cells of `means`, each counting the same; in a cell each data seed counts the same."""
    of_cell = [c for c in ("kind", *CELL) if c in means]
    cell, cluster = (means.groupby(keys).ngroup().to_numpy() for keys in (of_cell, ["dataset", "data_seed"]))
    dataset = np.empty(cluster.max() + 1, dtype=np.intp)
    dataset[cluster] = pd.factorize(means["dataset"])[0]
    values = np.full((len(dataset), cell.max() + 1), np.nan)
    values[cluster, cell] = means["change"]
    estimate = float(np.nanmean(values, axis=0).mean())
    right = means["right"].groupby(cell).mean().mean()
    return Change(
        estimate=estimate,
        right=float(right),
        n=int(means["n"].sum()),
        n_data_seeds=len(dataset),
        **jackknife_bounds(estimate, _without_each(values), dataset),
    )


def _without_each(values: Floats) -> Floats:
    """[data seeds] the mean over cells of their means over all data seeds but one; NaN if a cell has no other.

    Args:
        values: [data seeds, cells], NaN where a cell lacks the data seed.
    """
    has, size, mean = np.isfinite(values), np.isfinite(values).sum(axis=0), np.nanmean(values, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        without = (size * mean - values) / (size - 1)
    return np.where(has, without, mean).mean(axis=1)


def _sentence(overall: dict[str, Change], primary: Primary) -> str:
    """Whether right masks help, whether wrong ones help as much, and what follows."""
    outcome = column_name(primary.outcome)
    kinds = [overall[name] for name in WRONG.values() if name in overall]
    wrong = overall.get(ANY_WRONG) or (kinds[0] if kinds else None)
    if wrong is None or wrong.estimate is None:
        return "No trial under a shift has wrong masks, so it is unknown whether their content is what helps."
    change = f"{outcome} {number(wrong.estimate, 3)}, {interval(wrong.ci_low, wrong.ci_high, 3)}"
    if wrong.ci_low is None or wrong.ci_high is None:
        return (
            f"Wrong masks against right ones: {outcome} {number(wrong.estimate, 3)}, without an interval "
            f"({wrong.interval_reason}): it cannot be said whether the masks’ content is what helps."
        )
    head = _help(overall.get(NO_MASKS), outcome)
    if wrong.ci_high < 0:
        return f"{head}Wrong masks do worse than right ones ({change}): what the masks show matters."
    if wrong.ci_low > 0:
        return f"{head}Wrong masks do better than right ones ({change}): what the masks show is not what helps."
    return (
        f"{head}Wrong masks are not seen to do worse than right ones ({change}): as far as this sweep can tell, what "
        "the masks show is not what helps."
    )


def _help(without: Change | None, outcome: str) -> str:
    if without is None or without.estimate is None or without.ci_low is None or without.ci_high is None:
        return ""
    gain = f"{outcome} {number(-without.estimate, 3)}, {interval(-without.ci_high, -without.ci_low, 3)}"
    if without.ci_high < 0:
        return f"Right masks help against none ({gain}). "
    return f"Right masks are not seen to help against none ({gain}). "


def _compute(analysis: Analysis) -> MaskControls | None:
    table, controls = analysis.trials.table, analysis.trials.controls
    return mask_controls(table, table.iloc[:0] if controls is None else controls, analysis.primary)


def _text(analysis: Analysis, result: MaskControls | None) -> str:
    if result is None:
        return ""
    unpaired = f", {result.n_unpaired:,} of them without the trial under right masks that differs in nothing else"
    controls = count(result.n_controls, "mask control") + (unpaired if result.n_unpaired else "")
    return (
        f"{result.sentence} If wrong masks help as much as right ones, what the masks show is not what helps.\n\n"
        f"{controls}. They do not enter the answer."
    )


def _figure(analysis: Analysis, result: MaskControls | None) -> Drawing | None:
    """Changes of performance and of map scores, each cell a dot; None where no control was paired under a shift."""
    if result is None or not result.overall:
        return None
    outcome = column_name(analysis.primary.outcome)
    panels = [(outcome, "outcome", PALETTE[1]), (name(analysis.primary.metric), "localisation", PALETTE[2])]
    panels = [p for p in panels if any(_of(row, p[1]).estimate is not None for row in result.overall)]
    with settings():
        figure = new_figure(2.2 + 2.6 * len(panels), 0.9 + 0.36 * len(result.overall))
        for axes, (title, field, colour) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            axes.axvline(0, color=MUTED, linewidth=0.9)
            for position, row in enumerate(result.overall):
                change = _of(row, field)
                cells = [_of(c, field).estimate for c in result.cells if c.control == row.control and c.severity]
                steps = np.linspace(-0.22, 0.22, len(cells)) if len(cells) > 1 else np.zeros(len(cells))
                axes.plot(cells, steps - position, "o", markersize=2.5, color=colour, alpha=0.4, linewidth=0)
                interval_line(axes, change, -position, color=INK, linewidth=1.8)
                if change.estimate is not None:
                    axes.plot(change.estimate, -position, "D", markersize=5, color=INK)
            axes.set_xlabel(f"change of {title}")
            row_labels(axes, [row.control if field == panels[0][1] else "" for row in result.overall])
            axes.set_ylim(0.6 - len(result.overall), 0.6)
    changes = "; ".join(f"{row.control}: {with_interval(row.outcome, 3)}" for row in result.overall)
    return Drawing(
        name="controls",
        title="What mask controls change",
        caption=(
            "Each control less right masks, paired: the mean over cells of severities above 0 with its 95 % interval; "
            "each dot is one dataset, severity and method."
        ),
        alt=f"Changes against right masks. {outcome}: {changes}.",
        figure=figure,
    )


def _of(row: ControlRow, field: str) -> Change:
    return row.outcome if field == "outcome" else row.localisation


def _tables(analysis: Analysis, result: MaskControls | None) -> list[Table]:
    """Over everything, then in each cell."""
    if result is None:
        return []
    primary = analysis.primary
    outcome, score = column_name(primary.outcome), name(primary.metric)
    headings = (outcome, "change", "95 % interval", score, "change", "95 % interval", "pairs", "data seeds")
    fields = (
        *(f"{primary.outcome}.right", "outcome_change", "outcome_interval"),
        *(f"{primary.column}.right", "localisation_change", "localisation_interval", "n", "n_data_seeds"),
    )
    caption = (
        f"{outcome} and {score} under right masks, and how the control changes them: paired trials that differ in "
        "nothing else, averaged within data seeds and then over them."
    )
    overall = Table(
        name="controls",
        title=TITLE,
        caption=f"{caption} Cells of severities above 0, each counting the same.",
        headings=("instead of right masks", *headings),
        rows=tuple(((row.control, row.control), *_entries(row)) for row in result.overall),
        text_columns=1,
        fields=("control", *fields),
    )
    rows = tuple(
        (
            *cell_entries(row.dataset, row.severity, row.method),
            (row.control, row.control),
            *_entries(row),
        )
        for row in result.cells
    )
    by_cell = Table(
        name="controls_by_cell",
        title="Mask controls in every cell",
        caption=caption,
        headings=("dataset", "s", "method", "instead of right masks", *headings),
        rows=rows,
        text_columns=4,
        fields=("dataset", "severity", "method", "control", *fields),
        group=3,
        fold=0,
    )
    return [overall, by_cell]


def _entries(row: ControlRow) -> list[Entry]:
    entries: list[Entry] = []
    for change in (row.outcome, row.localisation):
        entries += [value(change.right), *estimated(change, 3)]
    return [*entries, whole(row.outcome.n), whole(row.outcome.n_data_seeds)]


TITLE = "Mask controls: is it what the masks show that helps?"
SECTION = Section(
    key="controls",
    title=TITLE,
    compute=_compute,
    sentence=_text,
    figures=lambda analysis, result: [_figure(analysis, result)],
    tables=_tables,
)
