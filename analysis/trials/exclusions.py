"""From any table with a record's columns to `Trials`: which rows are excluded, and why.

`UNUSABLE` and `SET_APART` are the rules, in the order in which they apply; a row is counted once, under the first
reason that applies to it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.numbers import count
from analysis.trials.design import hashable
from analysis.trials.fixed import other_setting
from analysis.trials.scores import higher_is_better, primary_higher_is_better
from analysis.trials.selection import SELECTION, rules_of, selection_of
from analysis.trials.trials import OUTCOME, Primary, Trials
from records import SweepRecords, columns
from records.manifest import Fixed

REQUIRED = ("dataset", "severity", "method", "seed", OUTCOME)
BY_SEARCH = "chosen by a search"
DUPLICATE = "duplicate trial"
CONTROL = "control of the masks"
OTHER_SELECTION = "selection other than"

_NAMES = ("dataset", "method")
_NUMBERS = ("severity", "seed", "data_seed")
_N_TEST = columns.hyperparameter("n_test")
_OPTIONAL = {
    "strength": "strengths are unknown, so each cell is taken as a whole",
    "status": "every row counts as a completed trial",
    "model": "models are unknown",
    columns.performance("test_id", "auc"): "performance without the shift cannot be shown",
}


class _Rows:
    """The rows of a table, as they were and as typed values, with the reason why each is excluded."""

    def __init__(self, table: pd.DataFrame, outcome: str, fixed: Fixed):
        self.outcome, self.fixed = outcome, fixed
        self.raw = table.reset_index(drop=True)
        if "data_seed" not in self.raw:
            self.raw = self.raw.copy().assign(data_seed=0)  # copied, else pandas warns of the many blocks of a .csv
        self.reasons = pd.Series("", index=self.raw.index, dtype=object)
        self.frame = self.raw.copy()
        """The values that the analysis sees."""
        self.unreadable: dict[str, pd.Series] = {}
        """Per column of flags, numbers or settings of the masks, where it holds something else."""
        for name in map(str, self.raw):
            values, kind = self.raw[name], columns.column_of(name).kind
            if name in _NAMES:
                self.frame[name] = values.astype(str)
            elif name in columns.CONTROLS or kind == "flag":
                self.frame[name], self.unreadable[name] = _setting(values, columns.CONTROLS.get(name, False))
            elif kind == "number" or name in (outcome, _N_TEST):
                self.frame[name], self.unreadable[name] = _numbers(values)

    @property
    def kept(self) -> pd.Series:
        """Whether no rule has excluded the row yet."""
        return self.reasons == ""

    def apply(self, rules: Sequence["Rule"]) -> None:
        for rule in rules:
            for reason, excluded in rule(self):
                self.reasons[excluded.fillna(False).astype(bool) & self.kept] = reason


Rule = Callable[[_Rows], Iterable[tuple[str, pd.Series]]]
"""Yields reasons, each with a mark on the rows that it applies to."""


def not_completed(rows: _Rows) -> Iterator[tuple[str, pd.Series]]:
    """A status other than completed; without a status, a row counts as completed."""
    if "status" in rows.frame:
        status = _filled(rows.frame["status"], "completed")
        for value in sorted(set(status) - {"completed"}):
            yield value if value in columns.STATUSES else f"status {value!r}", status == value


def unreadable_flag(rows: _Rows) -> Iterator[tuple[str, pd.Series]]:
    """`stopped_early` or `collapsed` neither true nor false."""
    for name in (columns.STOPPED_EARLY, columns.COLLAPSED):
        if name in rows.unreadable:
            yield f"{name} is neither true nor false", rows.unreadable[name]


def stopped_early(rows: _Rows) -> Iterator[tuple[str, pd.Series]]:
    """A scheduler that stops the worst trials censors the outcome."""
    if columns.STOPPED_EARLY in rows.frame:
        yield "stopped early", rows.frame[columns.STOPPED_EARLY]


def chosen_by_search(rows: _Rows) -> Iterator[tuple[str, pd.Series]]:
    """A search that looks at earlier results draws trials where performance is high: no sample of the space."""
    if columns.SEARCHER in rows.frame:
        searcher = _filled(rows.frame[columns.SEARCHER], "").str.strip().str.lower()
        yield BY_SEARCH, ~searcher.isin(("", *columns.PLAIN_SEARCHERS))


def bad_value(rows: _Rows) -> Iterator[tuple[str, pd.Series]]:
    """No dataset, method, severity or seed, or one that cannot be read; nor can the outcome or a setting of the masks.

    A missing outcome is dropped later, by what needs it.
    """
    for name in (*_NAMES, *_NUMBERS):
        yield f"no {name}", rows.raw[name].isna()
    for name in _NUMBERS:
        yield f"{name} is not a number", rows.frame[name].isna()
    yield f"{rows.outcome} is not a number", rows.unreadable[rows.outcome]
    yield "severity outside 0 to 1", ~rows.frame["severity"].between(0, 1)
    for name in columns.CONTROLS:
        if name in rows.unreadable:
            yield f"{name} cannot be read", rows.unreadable[name]


def other_fixed_setting(rows: _Rows) -> Iterator[tuple[str, pd.Series]]:
    """Another value of a setting that the sweep's command did not vary: cells must not mix configurations by accident.

    Only the manifest says what was not varied; a table without one is taken as it is.
    """
    reasons = other_setting(rows.frame[rows.kept], rows.fixed).reindex(rows.frame.index, fill_value="")
    for reason in sorted(set(reasons) - {""}):
        yield reason, reasons == reason


def duplicate(rows: _Rows) -> Iterator[tuple[str, pd.Series]]:
    """A trial key seen before, or the same settings, seeds included, as far as the table has them."""
    candidates = rows.frame[rows.kept]
    settings = {n: hashable(candidates[n]) for n in columns.settings_in(candidates)}
    repeated = candidates.assign(**settings).duplicated(list(settings))
    if "trial_key" in candidates:
        repeated |= candidates["trial_key"].notna() & candidates.duplicated("trial_key")
    yield DUPLICATE, repeated.reindex(rows.frame.index, fill_value=False)


def mask_control(rows: _Rows) -> Iterator[tuple[str, pd.Series]]:
    """Wrong masks, fewer of them, or masks at test time: kept in `Trials.controls`, compared with the right masks."""
    for name, default in columns.CONTROLS.items():
        if name in rows.frame:
            yield CONTROL, rows.frame[name] != default


def other_selection(rows: _Rows) -> Iterator[tuple[str, pd.Series]]:
    """Not the analysed selection rule: a cell must not count a training twice. Kept in `Trials.all_selections`."""
    rules = rules_of(rows.frame[rows.kept])
    if rules:
        yield f"{OTHER_SELECTION} {rules[0]}", selection_of(rows.frame) != rules[0]


UNUSABLE: tuple[Rule, ...] = (not_completed, unreadable_flag, stopped_early, chosen_by_search, bad_value)
"""What a row says of itself."""

SET_APART: tuple[Rule, ...] = (other_fixed_setting, duplicate, mask_control, other_selection)
"""What a usable row is beside the others."""


def trials_from_table(
    table: pd.DataFrame,
    *,
    sweep: str,
    source: str,
    primary: Primary | None = None,
    comparisons: tuple[str, ...] = columns.COMPARISONS,
    commands: tuple[str, ...] = (),
    free_primary: bool = True,
    fixed: Fixed | None = None,
    records: SweepRecords | None = None,
    excluded: dict[str, int] | None = None,
    notes: Sequence[str] = (),
) -> Trials:
    """Check a table and keep its completed, distinct, numeric trials.

    A trial with a missing outcome or localisation score stays in the table and is dropped, with a count, by each
    correlation that needs it. Infinities count as missing. Without a data_seed column all trials count as
    one data seed. Scores
    for which lower is better are replaced by their complements (`scores.higher_is_better`).

    Args:
        table: one trial per row, with a record's columns as far as they go.
        sweep, source, primary, comparisons, commands, free_primary, records: as in `Trials`.
        fixed: settings that the sweep did not vary; other values of them are excluded.
        excluded: number of rows excluded earlier, by reason.
        notes: earlier notes on the data, one sentence each.

    Raises:
        AnalysisError: a required column or every localisation column is missing, a column is there twice, a trial is of
            a newer schema version, or no trial remains.
    """
    table = table.rename(columns=str)
    twice = list(dict.fromkeys(table.columns[table.columns.duplicated()]))
    if twice:
        raise AnalysisError(f"{source}: more than one column {', '.join(map(repr, twice))}; keep one of each name")
    _check_any_completed(table, source)
    _check_columns(table, source)
    notes = list(notes)
    absent = [f"No column {name!r}: {meaning}." for name, meaning in _OPTIONAL.items() if name not in table]
    if "data_seed" not in table:
        absent.append(
            "No column 'data_seed': which trials share their images is unknown, so nothing has an interval; add it."
        )
    outcome = primary.outcome if primary is not None and primary.outcome in table else OUTCOME

    rows = _Rows(table, outcome, fixed or {})
    if "schema_version" in table and (newest := rows.frame["schema_version"].max()) > columns.SCHEMA_VERSION:
        raise AnalysisError(
            f"{source} has trials of schema version {newest:g}, and this checkout reads versions up to "
            f"{columns.SCHEMA_VERSION}: a newer version of this program wrote them; update the checkout (git pull)"
        )
    rows.apply(UNUSABLE)
    for name, unreadable in rows.unreadable.items():
        if n := int((unreadable & rows.kept).sum()):
            notes.append(f"Not a number in the column {name!r}: {count(n, 'value')}, taken as missing.")
    rows.frame, replaced = higher_is_better(rows.frame)
    notes += [
        f"Lower is better for {metric}, so the analysis uses 1 − {metric}. The records hold what was measured."
        for metric in replaced
    ]
    rows.apply(SET_APART)
    if (rows.reasons == DUPLICATE).any() and "trial_key" not in table:
        notes.append(
            "Of rows with the same configuration only the first counts; if they are different trials, add the column "
            "that tells them apart (strength, seed, data_seed or hp.<name>)."
        )

    reasons = Counter(excluded) + Counter(rows.reasons[~rows.kept])
    kept = rows.frame[rows.kept]
    if kept.empty:
        raise AnalysisError(_nothing_left(source, reasons, table))
    unanalysed = rows.reasons.str.startswith(OTHER_SELECTION)
    controls = rows.frame[rows.reasons == CONTROL]
    if SELECTION in kept:
        controls = controls[selection_of(controls) == selection_of(kept).iloc[0]]
    return Trials(
        table=_tidy(kept),
        sweep=sweep,
        source=source,
        n_read=len(table) + sum((excluded or {}).values()),
        excluded=dict(sorted(reasons.items())),
        notes=tuple(notes),
        missing=(*absent, *_missing_cells(kept)),
        primary=None if primary is None else primary_higher_is_better(primary),
        comparisons=comparisons,
        commands=commands,
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


def _check_any_completed(table: pd.DataFrame, source: str) -> None:
    # Before the columns: failed trials have no scores, so missing columns are not what went wrong.
    if len(table) and "status" in table and not _filled(table["status"], "completed").eq("completed").any():
        raise AnalysisError(_nothing_left(source, Counter(table["status"].dropna().astype(str)), table))


def _check_columns(table: pd.DataFrame, source: str) -> None:
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
    """The column as texts, missing ones as the default; a categorical column would refuse a new value."""
    return column.astype(object).fillna(default).astype(str)


def _numbers(column: pd.Series) -> tuple[pd.Series, pd.Series]:
    """(the column as floats with infinities as missing, where it held something that is not a number)."""
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    bad = numbers.isna() & column.notna()
    return numbers.replace([np.inf, -np.inf], np.nan), bad


def _setting(column: pd.Series, default: object) -> tuple[pd.Series, pd.Series]:
    """(the column as values of the default's type, missing ones as the default; where it could not be read).

    Records from before a setting was introduced have its default.
    """
    filled = column.astype(object).where(column.notna(), default)
    if isinstance(default, float):
        return _numbers(filled)
    text = filled.astype(str)
    if isinstance(default, bool):
        text = text.str.strip().str.lower()
        true, false = text.isin(("true", "1", "1.0", "yes")), text.isin(("false", "0", "0.0", "no", ""))
        return true, ~(true | false)
    return text, pd.Series(False, index=column.index)


def _nothing_left(source: str, counts: Mapping[str, int], table: pd.DataFrame) -> str:
    if not counts:
        return f"{source}: no trials; the table has its columns and no rows: run the sweep first"
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(counts.items()))
    if CONTROL in counts:
        return (
            f"{source}: no completed trial under right masks is left ({reasons}); controls are compared with those, so "
            "run the same trials without mask_condition, mask_fraction and mask_test into the same sweep"
        )
    if set(counts) == {BY_SEARCH}:
        return (
            f"{source}: all {reasons}; trials that were chosen by earlier results are no sample to correlate: "
            "take the best settings into a sweep of seeds (sweep.py --from) and analyse that"
        )
    errors = table["error"].dropna() if "error" in table else pd.Series(dtype=object)
    first = f"; the first error was: {str(errors.iloc[0]).splitlines()[0]}" if len(errors) else ""
    return f"{source}: no completed trial is left ({reasons}){first}; fix the cause and run the sweep again"


def _missing_cells(table: pd.DataFrame) -> list[str]:
    """Name the cells without a trial among the severities of their dataset and the methods of the whole table."""
    present = set(zip(table["dataset"], table["severity"], table["method"], strict=True))
    absent = [
        f"{method} on {dataset} at severity {severity:g}"
        for dataset, part in table.groupby("dataset")
        for severity in sorted(part["severity"].unique())
        for method in sorted(table["method"].unique())
        if (dataset, severity, method) not in present
    ]
    return [f"No trial in {count(len(absent), 'cell')} of the grid: {'; '.join(absent)}."] if absent else []
