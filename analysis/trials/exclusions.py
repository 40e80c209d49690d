"""From any table with a record's columns to `Trials`: which rows are excluded, and why.

`unusable` and `set_apart` list the rules in order; a row is counted once, under the first reason that applies to it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.numbers import count
from analysis.trials.design import SELECTION, hashable, rules_of, selection_of
from analysis.trials.fixed import other_setting
from analysis.trials.scores import higher_is_better, primary_higher_is_better
from analysis.trials.trials import OUTCOME, Exclusion, Reason, Trials
from records import Manifest, SweepRecords, columns
from records.manifest import Fixed

REQUIRED = ("dataset", "severity", "method", "seed", OUTCOME)
_NAMES = ("dataset", "method")
_NUMBERS = ("severity", "seed", "data_seed")
_OPTIONAL = {
    "strength": "strengths are unknown, so each cell is taken as a whole",
    "status": "every row counts as a completed trial",
    "model": "models are unknown",
    columns.performance("test_id", "auc"): "performance without the shift cannot be shown",
    "data_seed": "which trials share their images is unknown, so nothing has an interval; add it",
}

Excluded = Iterator[tuple[Reason, pd.Series]]
"""Reasons, each with a mark on the rows to which it applies."""


class _Rows:
    """The rows of a table, raw and as typed values, with the reason for which each is excluded."""

    def __init__(self, table: pd.DataFrame, outcome: str, fixed: Fixed):
        self.outcome, self.fixed = outcome, fixed
        self.raw = table.reset_index(drop=True)
        if "data_seed" not in self.raw:
            self.raw = self.raw.copy().assign(data_seed=0)  # copied, else pandas warns of the many blocks of a .csv
        self.reason = pd.Series(None, index=self.raw.index, dtype=object)
        """Why each row is excluded; None for rows that are kept."""
        self.frame = self.raw.copy()
        """The values that the analysis uses."""
        self.unreadable: dict[str, pd.Series] = {}
        """Per column of flags, numbers or mask settings, the rows with a value of another type."""
        for name in map(str, self.raw):
            values, kind = self.raw[name], columns.column_of(name).kind
            if name in _NAMES:
                self.frame[name] = values.astype(str)
            elif name in columns.CONTROLS or kind == "flag":
                self.frame[name], self.unreadable[name] = _setting(values, columns.CONTROLS.get(name, False))
            elif kind == "number" or name in (outcome, columns.hyperparameter("n_test")):
                self.frame[name], self.unreadable[name] = _numbers(values)

    @property
    def kept(self) -> pd.Series:
        """Whether no rule has excluded the row yet."""
        return self.reason.isna()

    def excluded_as(self, exclusion: Exclusion) -> pd.Series:
        """The rows excluded for this reason, whatever its details."""
        return self.reason.map(lambda reason: isinstance(reason, Reason) and reason.exclusion is exclusion).astype(bool)

    def exclude(self, excluded: Excluded) -> None:
        """Exclude the marked rows that are still kept."""
        for reason, marked in excluded:
            self.reason[marked.fillna(False).astype(bool) & self.kept] = reason


def unusable(rows: _Rows) -> Excluded:
    """Why a row by itself cannot be used, in the order in which the reasons apply."""
    frame = rows.frame
    if "status" in frame:
        status = _filled(frame["status"], "completed")
        for value in sorted(set(status) - {"completed"}):
            yield _not_completed(value), status == value
    for name in (columns.STOPPED_EARLY, columns.COLLAPSED):
        if name in rows.unreadable:
            yield Reason(Exclusion.BAD_FLAG, name), rows.unreadable[name]
    if columns.STOPPED_EARLY in frame:
        # A scheduler that stops the worst trials censors the outcome.
        yield Reason(Exclusion.STOPPED_EARLY), frame[columns.STOPPED_EARLY]
    if columns.SEARCHER in frame:
        # A search guided by earlier results draws trials where performance is high: no sample of the space.
        searcher = _filled(frame[columns.SEARCHER], "").str.strip().str.lower()
        yield Reason(Exclusion.CHOSEN_BY_SEARCH), ~searcher.isin(("", *columns.PLAIN_SEARCHERS))
    for name in (*_NAMES, *_NUMBERS):
        yield Reason(Exclusion.ABSENT, name), rows.raw[name].isna()
    for name in _NUMBERS:
        yield Reason(Exclusion.NOT_A_NUMBER, name), frame[name].isna()
    # A missing outcome is dropped later, by the statistics that need it.
    yield Reason(Exclusion.NOT_A_NUMBER, rows.outcome), rows.unreadable[rows.outcome]
    yield Reason(Exclusion.BAD_SEVERITY), ~frame["severity"].between(0, 1)
    for name in columns.CONTROLS:
        if name in rows.unreadable:
            yield Reason(Exclusion.UNREADABLE_SETTING, name), rows.unreadable[name]


def set_apart(rows: _Rows) -> Excluded:
    """Why a usable row is not analysed with the others, in the order in which the reasons apply.

    - Other values of settings that the sweep's command did not vary, so that cells do not mix configurations. Only the
      manifest says which settings these are.
    - Duplicates: a trial key seen before, or the same settings and seeds as far as the table has them.
    - Mask controls (wrong masks, fewer masks, masks at test time): kept in `Trials.controls`.
    - Other selection rules than the analysed one, so that no training counts twice: kept in `Trials.all_selections`.
    """
    frame = rows.frame
    texts = other_setting(frame[rows.kept], rows.fixed).reindex(frame.index, fill_value="")
    for text in sorted(set(texts) - {""}):
        yield Reason(Exclusion.OTHER_SETTING, text), texts == text
    candidates = frame[rows.kept]
    settings = {n: hashable(candidates[n]) for n in columns.settings_in(candidates)}
    repeated = candidates.assign(**settings).duplicated(list(settings))
    if "trial_key" in candidates:
        repeated |= candidates["trial_key"].notna() & candidates.duplicated("trial_key")
    yield Reason(Exclusion.DUPLICATE), repeated.reindex(frame.index, fill_value=False)
    for name, default in columns.CONTROLS.items():
        if name in frame:
            yield Reason(Exclusion.MASK_CONTROL), frame[name] != default
    if rules := rules_of(frame[rows.kept]):
        yield Reason(Exclusion.OTHER_SELECTION, rules[0]), selection_of(frame) != rules[0]


def _not_completed(status: str) -> Reason:
    return Reason(Exclusion.NOT_COMPLETED, status if status in columns.STATUSES else f"status {status!r}")


def trials_from_table(
    table: pd.DataFrame,
    *,
    sweep: str,
    source: str,
    declared: Manifest | None = None,
    free_primary: bool = True,
    records: SweepRecords | None = None,
    n_unreadable: int = 0,
    notes: Sequence[str] = (),
) -> Trials:
    """Check a table and keep its completed, distinct, numeric trials.

    A trial with a missing outcome or localisation score stays in the table; each correlation that needs it drops and
    counts it. Infinities count as missing. Without a data_seed column all trials count as one data seed. Scores for
    which lower is better are replaced by their complements (`scores.higher_is_better`).

    Args:
        table: one trial per row, with a record's columns as far as they go.
        declared: the sweep's primary, comparisons, commands, and fixed settings; rows with other values are excluded.
        n_unreadable: number of records that could not be read; they count as excluded.
        notes: earlier notes on the data, one sentence each; the other arguments are as in `Trials`.

    Raises:
        AnalysisError: a required column or every localisation column is missing, a column name is repeated, a trial has
            a newer schema version, or no trial remains.
    """
    table = table.rename(columns=str)
    _check_columns(table, source)
    notes = list(notes)
    absent = [f"No column {name!r}: {meaning}." for name, meaning in _OPTIONAL.items() if name not in table]
    declared = declared or Manifest()
    primary = declared.primary
    outcome = primary.outcome if primary is not None and primary.outcome in table else OUTCOME
    rows = _Rows(table, outcome, declared.fixed)
    if "schema_version" in table and (newest := rows.frame["schema_version"].max()) > columns.SCHEMA_VERSION:
        raise AnalysisError(
            f"{source} has trials of schema version {newest:g}, and this checkout reads versions up to "
            f"{columns.SCHEMA_VERSION}: a newer version of this program wrote them; update the checkout (git pull)"
        )
    rows.exclude(unusable(rows))
    for name, unreadable in rows.unreadable.items():
        if n := int((unreadable & rows.kept).sum()):
            notes.append(f"Not a number in the column {name!r}: {count(n, 'value')}, taken as missing.")
    rows.frame, replaced = higher_is_better(rows.frame)
    notes += [f"Lower is better for {m}, so the analysis uses 1 − {m}. The records hold {m}." for m in replaced]
    rows.exclude(set_apart(rows))
    if rows.excluded_as(Exclusion.DUPLICATE).any() and "trial_key" not in table:
        notes.append(
            "Only the first of several rows with the same configuration counts. If they are different trials, add the "
            "column that tells them apart (strength, seed, data_seed or hp.<name>)."
        )
    reasons = Counter(rows.reason.dropna()) + Counter({Reason(Exclusion.UNREADABLE_RECORD): n_unreadable})
    kept = rows.frame[rows.kept]
    if kept.empty:
        raise AnalysisError(_nothing_left(source, reasons, table))
    unanalysed = rows.excluded_as(Exclusion.OTHER_SELECTION)
    controls = rows.frame[rows.excluded_as(Exclusion.MASK_CONTROL)]
    if SELECTION in kept:
        controls = controls[selection_of(controls) == selection_of(kept).iloc[0]]
    return Trials(
        table=_tidy(kept),
        sweep=sweep,
        source=source,
        n_read=len(table) + n_unreadable,
        reasons=reasons,
        notes=tuple(notes),
        missing=(*absent, *_missing_cells(kept)),
        primary=None if primary is None else primary_higher_is_better(primary),
        comparisons=declared.comparisons,
        commands=declared.commands,
        looks=declared.looks,
        data_seeds_known="data_seed" in table,
        free_primary=free_primary,
        all_selections=_tidy(rows.frame[rows.kept | unanalysed]) if unanalysed.any() else None,
        controls=_tidy(controls) if len(controls) else None,
        records=records,
    )


def _tidy(table: pd.DataFrame) -> pd.DataFrame:
    """The rows numbered from 0, seeds as integers where they are whole."""
    table = table.reset_index(drop=True)
    for name in ("seed", "data_seed"):
        if (table[name] % 1 == 0).all():
            table[name] = table[name].astype("int64")
    return table


def _check_columns(table: pd.DataFrame, source: str) -> None:
    if twice := list(dict.fromkeys(table.columns[table.columns.duplicated()])):
        raise AnalysisError(f"{source}: more than one column {', '.join(map(repr, twice))}; keep one of each name")
    # Failed trials have no scores, so the lack of completed ones is reported first.
    if len(table) and "status" in table and not _filled(table["status"], "completed").eq("completed").any():
        counts = Counter(map(_not_completed, table["status"].dropna().astype(str)))
        raise AnalysisError(_nothing_left(source, counts, table))
    names = list(table.columns)
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    has = f"it has {', '.join(names[:12]) or 'no columns'}{more}"
    absent = [name for name in REQUIRED if name not in table]
    if absent:
        raise AnalysisError(
            f"{source}: missing column{'s' if len(absent) > 1 else ''} {', '.join(map(repr, absent))}; a "
            f"table needs {', '.join(REQUIRED)} and one localisation column such as "
            f"test_ood.iou.integrated_gradients; {has}"
        )
    if not any(map(columns.parse_localisation, names)):
        raise AnalysisError(
            f"{source}: no localisation column; add one named <split>.<metric>.<attribution> with split "
            f"{' or '.join(columns.SCORED_SPLITS)}, such as test_ood.iou.integrated_gradients; {has}"
        )


def _filled(column: pd.Series, default: str) -> pd.Series:
    """The column as text, with missing values as the default; `object` since categories allow no new value."""
    return column.astype(object).fillna(default).astype(str)


def _numbers(column: pd.Series) -> tuple[pd.Series, pd.Series]:
    """(the column as floats with infinities as missing, the rows with something else than a number)."""
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    bad = numbers.isna() & column.notna()
    return numbers.replace([np.inf, -np.inf], np.nan), bad


def _setting(column: pd.Series, default: object) -> tuple[pd.Series, pd.Series]:
    """(the column as values of the default's type, which older records lack; the unreadable rows)."""
    filled = column.astype(object).where(column.notna(), default)
    if isinstance(default, float):
        return _numbers(filled)
    text = filled.astype(str)
    if isinstance(default, bool):
        text = text.str.strip().str.lower()
        true, false = text.isin(("true", "1", "1.0", "yes")), text.isin(("false", "0", "0.0", "no", ""))
        return true, ~(true | false)
    return text, pd.Series(False, index=column.index)


def _nothing_left(source: str, counts: Counter[Reason], table: pd.DataFrame) -> str:
    if not counts:
        return f"{source}: no trials; the table has its columns and no rows: run the sweep first"
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(counts.items(), key=lambda pair: str(pair[0])))
    exclusions = {reason.exclusion for reason in counts}
    if Exclusion.MASK_CONTROL in exclusions:
        return (
            f"{source}: no completed trial under right masks is left ({reasons}); controls are compared with those, so "
            "run the same trials without mask_condition, mask_fraction and mask_test into the same sweep"
        )
    if exclusions == {Exclusion.CHOSEN_BY_SEARCH}:
        return (
            f"{source}: all {reasons}; trials that were chosen by earlier results are no sample to correlate: "
            "take the best settings into a sweep of seeds (sweep.py --from) and analyse that"
        )
    errors = list(table["error"].dropna()) if "error" in table else []
    first = f"; the first error was: {str(errors[0]).splitlines()[0]}" if errors else ""
    return f"{source}: no completed trial is left ({reasons}){first}; fix the cause and run the sweep again"


def _missing_cells(table: pd.DataFrame) -> list[str]:
    """Name the cells without a trial, for each severity of a dataset and each method of the table."""
    present = set(table[["dataset", "severity", "method"]].itertuples(index=False, name=None))
    absent = [
        f"{method} on {dataset} at severity {severity:g}"
        for dataset, severity in sorted({cell[:2] for cell in present})
        for method in sorted(table["method"].unique())
        if (dataset, severity, method) not in present
    ]
    return [f"No trial in {count(len(absent), 'cell')} of the grid: {'; '.join(absent)}."] if absent else []
