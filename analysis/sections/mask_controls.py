"""Mask controls against right masks: is it what the masks show that helps?

A mask control is a trial with wrong masks, with masks on part of the images, or with masks on test images too
(`records.columns.CONTROLS`). The verdict and the correlations leave it out. The same methods are also compared with
coarser masks (which count as right and stay in the verdict), no masks (the baseline) and balanced data (severity 0).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.answer.answer import Analysis
from analysis.answer.cells import SMALLEST_SPREAD
from analysis.numbers import column_name, count, name, number, with_interval
from analysis.sections.drawing import PALETTE, Drawing, Mark, forest, place_of_method
from analysis.sections.methods import group_means
from analysis.sections.section import Section
from analysis.sections.table import SCOPE, Column, Table, decimals, estimates, inside, words
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.stats.replicated import Estimate
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
    """Mean of a score under a control less its mean under right masks, over pairs and then over data seeds."""

    right: float | None = None
    """The mean under right masks."""
    n: int = 0
    """Pairs of trials with both scores."""
    n_data_seeds: int = 0


@dataclass(frozen=True, kw_only=True)
class ControlRow:
    """One control in one cell, or its mean over the cells of severities above 0 (dataset, severity and method None)."""

    control: str
    dataset: str | None = None
    severity: float | None = None
    method: str | None = None
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


def mask_controls(right: pd.DataFrame, controls: pd.DataFrame | None, primary: Primary) -> MaskControls | None:
    """Each control's change of the outcome and of the primary's score against right masks, per cell and overall.

    A pair's trials agree in everything but the control. Differences of pairs are averaged within a data seed and then
    over data seeds; intervals are by the delete-one-data-seed jackknife. Overall, each cell of a severity above 0
    counts the same. None where no trial is a control or has a coarser mask than a trial that is otherwise the same.
    """
    controls = right.iloc[:0] if controls is None else controls
    scores = {"outcome": primary.outcome, "localisation": primary.column}
    pairs, n_unpaired = paired(right, controls, [column for column in scores.values() if column in right])
    if pairs.empty and controls.empty:
        return None
    means = stacked([_means(pairs, column).assign(score=score) for score, column in scores.items()])
    shifted = means[means["severity"] > 0]
    wrong = shifted[shifted["control"].isin(WRONG.values())]
    if wrong["control"].nunique() > 1:
        shifted = stacked([shifted, wrong.assign(control=ANY_WRONG)])
    overall = _rows(shifted, ["control"])
    sentence = _sentence({row.control: row.outcome for row in overall}, primary)
    return MaskControls(len(controls), n_unpaired, overall, _rows(means, CELL), sentence)


def paired(right: pd.DataFrame, controls: pd.DataFrame, scores: Sequence[str]) -> tuple[pd.DataFrame, int]:
    """A row per pair of a control and a trial under right masks (`twins`), and the number of controls without one."""
    kept = [*columns.settings_in(right), *scores]
    right, controls = right[kept], controls[kept]
    named = controls.assign(control=[control_name(settings) for settings in controls.to_dict("records")])
    of_masks = twins(named, right, columns.CONTROLS, scores)
    pixels = pd.to_numeric(right[DILATION], errors="coerce") if DILATION in right else pd.Series(0, index=right.index)
    coarser = right[pixels > 0].assign(
        control=[f"masks dilated by {count(int(p), 'pixel')}" for p in pixels[pixels > 0]]
    )
    changed = stacked([of_masks, twins(coarser, right[pixels == 0], [DILATION], scores)])
    trials = right.loc[changed["twin"].unique()]
    # Without masks: the baseline's mean on the same images.
    place, of_right = ["dataset", "severity", "data_seed"], {score: score + RIGHT for score in scores}
    baseline = right[right["method"] == "baseline"].groupby(place)[list(scores)].mean().reset_index()
    masked = trials[trials["method"] != "baseline"].assign(control=NO_MASKS)[[*CELL, "data_seed", *scores]]
    no_masks = masked.rename(columns=of_right).merge(baseline, on=place)
    # Balanced data: the trial at severity 0.
    shifted = trials[trials["severity"] > 0].assign(control=BALANCED)
    balanced = twins(shifted, right[right["severity"] == 0], ["severity"], scores)
    balanced = balanced.rename(columns=of_right | {other: score for score, other in of_right.items()})
    return stacked([no_masks, changed, balanced]), len(controls) - len(of_masks)


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


def place_of(control: str) -> tuple[int, str]:
    """Sort key of controls: no masks, wrong ones, the others by name, balanced data."""
    first = (NO_MASKS, *WRONG.values(), ANY_WRONG)
    return (first.index(control) if control in first else len(first) + (control == BALANCED)), control


def twins(first: pd.DataFrame, right: pd.DataFrame, apart: Iterable[str], scores: Sequence[str]) -> pd.DataFrame:
    """Pairs of trials of `first` and `right` that agree in all settings but `apart`.

    The columns are those of `CELL`, the data seed, the scores of the trial of `first`, those of the trial of `right`
    with the suffix `RIGHT`, and the latter's index, `twin`.
    """
    shared = [c for c in right if c in first and c not in (*scores, *apart)]

    def like(trials: pd.DataFrame) -> list[str]:
        """The settings as text, in which lists and missing values can be compared."""
        exact = trials[shared].astype({"seed": float, "data_seed": float})
        return ["\x1f".join(map(str, row)) for row in exact.astype(object).where(exact.notna(), "").to_numpy()]

    changed = first[[c for c in (*CELL, "data_seed", *scores) if c in first]].assign(like=like(first))
    others = right[list(scores)].add_suffix(RIGHT).assign(like=like(right), twin=right.index)
    return changed.merge(others, on="like").drop(columns="like")


def stacked(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The concatenated parts, without empty ones."""
    with_rows = [part for part in parts if len(part)]
    return pd.concat(with_rows, ignore_index=True) if with_rows else parts[0]


def _means(pairs: pd.DataFrame, column: str) -> pd.DataFrame:
    both = pairs.reindex(columns=[*CELL, "data_seed", column, column + RIGHT]).dropna(subset=[column, column + RIGHT])
    both = both.assign(right=both[column + RIGHT], change=both[column] - both[column + RIGHT], kind=both["control"])
    means = both.groupby([*CELL, "kind", "data_seed"])
    return means.agg(right=("right", "mean"), change=("change", "mean"), n=("change", "size")).reset_index()


def _rows(means: pd.DataFrame, by: list[str]) -> tuple[ControlRow, ...]:
    rows = []
    for key, part in means.groupby(by):
        row: dict[str, Any] = dict(zip(by, key, strict=True))
        row |= {score: _change(part[part["score"] == score]) for score in ("outcome", "localisation")}
        rows.append(ControlRow(**row))
    rows.sort(key=lambda r: (r.dataset or "", r.severity, place_of_method(r.method or ""), place_of(r.control)))
    return tuple(rows)


def _change(means: pd.DataFrame) -> Change:
    """The mean over cells and kinds, each counting the same; in a cell each data seed counts the same."""
    if means.empty:
        return Change(reason="no pair has both scores")
    by = ["kind", *CELL]
    return Change(
        right=float(means.groupby(by)["right"].mean().mean()),
        n=int(means["n"].sum()),
        n_data_seeds=len(set(draw_resamples(means, replicates=1, seed=0).data_seed)),
    ).of(group_means(means, by, "change").mean())


def _sentence(overall: dict[str, Change], primary: Primary) -> str:
    """Whether right masks help, and whether wrong ones do as well: if the interval excludes a loss of interest."""
    outcome = column_name(primary.outcome)
    wrong = next((overall[control] for control in (ANY_WRONG, *WRONG.values()) if control in overall), None)
    if wrong is None or wrong.estimate is None:
        return "No trial under a shift has wrong masks, so it is unknown whether their content is what helps."
    if wrong.ci_low is None or wrong.ci_high is None:
        return (
            f"Wrong masks against right ones: {outcome} {number(wrong.estimate, 3)}, without an interval "
            f"({wrong.interval_reason}): it cannot be said whether the masks’ content is what helps."
        )
    if wrong.ci_high < 0:
        verb, conclusion = "do worse than", "what the masks show matters"
    elif wrong.ci_low > -SMALLEST_SPREAD:
        verb = "do at least as well as"
        conclusion = f"a loss of {SMALLEST_SPREAD:g} is excluded, so what the masks show is not what helps"
    else:
        verb, loss = "are not seen to do worse than", number(-wrong.ci_low, 3)
        conclusion = f"a loss of up to {loss} is not excluded, so it cannot be said whether what the masks show matters"
    sentence, without = "", overall.get(NO_MASKS)
    if without is not None and without.ci_high is not None:
        worse = "does worse" if without.ci_high < 0 else "is not seen to do worse"
        sentence = f"The baseline {worse} than right masks, with a change in {outcome} of {with_interval(without, 3)}. "
    change = f"a change in {outcome} of {with_interval(wrong, 3)}"
    return f"{sentence}Wrong masks {verb} right ones, with {change}: {conclusion}."


def _text(analysis: Analysis, result: MaskControls) -> str:
    unpaired = f", {result.n_unpaired:,} of them without the trial under right masks that differs in nothing else"
    controls = count(result.n_controls, "mask control") + (unpaired if result.n_unpaired else "")
    return f"{result.sentence}\n\n{controls}. They do not enter the answer."


def _figure(analysis: Analysis, result: MaskControls) -> Drawing | None:
    labels = column_name(analysis.primary.outcome), name(analysis.primary.metric)
    panels = {}
    for field, label, colour in zip(("outcome", "localisation"), labels, PALETTE[1:], strict=False):
        marks = {}
        for row in result.overall:
            cells = [getattr(c, field).estimate for c in result.cells if c.control == row.control and c.severity]
            marks[row.control] = [Mark(getattr(row, field), colour, around=cells)]
        if any(mark.entry.estimate is not None for (mark,) in marks.values()):
            panels[f"change of {label}"] = marks
    return forest(
        panels,
        name="controls",
        title="What mask controls change",
        caption="Each control less right masks: the mean over cells of severities above 0. Each dot is one cell.",
        alt="Changes against right masks",
        digits=3,
    )


def _table(analysis: Analysis, result: MaskControls) -> Table:
    primary = analysis.primary
    outcome, score = column_name(primary.outcome), name(primary.metric)
    return Table(
        caption=(
            f"{outcome} and {score} under right masks and how the control changes them, in pairs of trials that differ "
            "in nothing else. “Shifted”: the mean over the cells of severities above 0."
        ),
        columns=(
            *SCOPE,
            words("control", "instead of right masks", text=str),
            *inside("outcome", decimals(f"{primary.outcome}.right", outcome, "right")),
            *estimates("outcome_change", "change", "outcome", digits=3, interval="outcome_interval"),
            *inside("localisation", decimals(f"{primary.column}.right", score, "right")),
            *estimates("localisation_change", "change", "localisation", digits=3, interval="localisation_interval"),
            *inside("outcome", Column("n", "pairs"), Column("n_data_seeds", "data seeds")),
        ),
        rows=(*result.overall, *result.cells),
        group=3,
        fold=len(result.overall),
    )


SECTION: Section[Any] = Section(
    key="controls",
    title="Mask controls: is it what the masks show that helps?",
    compute=lambda analysis: mask_controls(analysis.trials.table, analysis.trials.controls, analysis.primary),
    sentence=_text,
    figures=lambda analysis, result: [_figure(analysis, result)],
    tables=lambda analysis, result: [_table(analysis, result)],
)
