"""From any table with a record's columns to `Trials`: what is checked, excluded and named as missing."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.report.numbers import count
from analysis.trials.direction import larger_is_better, turned_primary
from analysis.trials.primary import OUTCOME, Primary
from analysis.trials.selection import SELECTION, UNKNOWN, rules_of
from analysis.trials.trials import Trials
from records import SweepRecords, columns

REQUIRED = ("dataset", "severity", "method", "seed", OUTCOME)
CONFIGURATION = (
    "dataset",
    "severity",
    "method",
    "strength",
    "model",
    "seed",
    "data_seed",
    "preset",
    "selection",
    "epochs",
)
"""Columns that, with the hyperparameters, tell one trial from another where there is no trial key."""
BY_SEARCH = "chosen by a search"
"""The reason that trials of a search are left out for."""

CONTROL = "control of the masks"
"""Why a trial whose masks are not right ones is left out."""

_OPTIONAL = {
    "strength": "the strengths are unknown: each cell is taken as it stands",
    "status": "the statuses are unknown: every row is taken as a completed trial",
    "model": "the models are unknown",
    columns.performance("test_id", "auc"): "performance without the shift cannot be shown",
}


def trials_from_table(
    table: pd.DataFrame,
    *,
    sweep: str,
    source: str,
    primary: Primary | None = None,
    free_primary: bool = True,
    records: SweepRecords | None = None,
    excluded: dict[str, int] | None = None,
    notes: Sequence[str] = (),
) -> Trials:
    """Check a table and keep its completed, distinct, numeric trials.

    Rules, in this order; each trial left out is counted once, under the first reason that applies:

    1. status other than completed (a missing status column counts as all completed);
    2. stopped_early: a scheduler that stops the worst trials censors what is asked about; hp.searcher other than
       grid, random or nothing: a search that looks at earlier results draws trials where performance is high, and
       they do not speak for the space; stopped_early or collapsed neither true nor false;
    3. dataset or method missing; severity, seed, data_seed or the outcome not a number; severity outside [0,
       1];
    4. a trial key seen before, or a configuration seen before (`CONFIGURATION` and `hp.*`, as far as they are
       there);
    5. a control of the masks: wrong masks, fewer of them, or masks at test time (`columns.CONTROLS`). Controls stay in
       `Trials.controls`, and are compared with right masks;
    6. a selection rule other than the one that is analysed, `selection_rules.rules_of(...)[0]`: a cell must not count a
       training several times. These trials stay in `Trials.all_selections`, and the rules are compared.

    A trial whose outcome is missing stays in the table and is dropped, with a count, by each correlation that
    needs it, and so is a missing localisation score. Infinities count as missing. Without a data_seed column
    the seed stands for it. Scores of which less is better are turned round (direction.py).

    Raises:
        AnalysisError: a required column or every localisation column is missing, or no trial is left.
    """
    _check_any_completed(table, source)
    _check_columns(table, source)
    notes = list(notes)
    missing = [f"No column {name!r}: {meaning}." for name, meaning in _OPTIONAL.items() if name not in table]
    outcome = primary.outcome if primary is not None and primary.outcome in table else OUTCOME
    n_unreadable = sum((excluded or {}).values())
    frame = table.reset_index(drop=True).copy()
    if "data_seed" not in frame:
        frame["data_seed"] = frame["seed"]
        notes.append("There is no column 'data_seed': the seed serves as the unit of independence.")
    reasons = pd.Series([""] * len(frame), index=frame.index, dtype=object)

    def exclude(rows: pd.Series, reason: str) -> None:
        reasons[rows.fillna(False).astype(bool) & (reasons == "")] = reason

    if "status" in frame:
        status = frame["status"].fillna("completed").astype(str)
        for value in sorted(set(status) - {"completed"}):
            exclude(status == value, value if value in columns.STATUSES else f"status {value!r}")
    for name in (columns.STOPPED_EARLY, columns.COLLAPSED):
        if name in frame:
            frame[name], bad = _flags(frame[name])
            exclude(bad, f"{name} is neither true nor false")
    if columns.STOPPED_EARLY in frame:
        exclude(frame[columns.STOPPED_EARLY], "stopped early")
    if columns.SEARCHER in frame:
        searcher = frame[columns.SEARCHER].fillna("").astype(str).str.strip().str.lower()
        exclude(~searcher.isin(("", *columns.PLAIN_SEARCHERS)), BY_SEARCH)
    for name in ("dataset", "method"):
        exclude(frame[name].isna(), f"no {name}")
        frame[name] = frame[name].astype(str)
    for name in dict.fromkeys(("severity", "seed", "data_seed", outcome)):
        numbers, bad = _numbers(frame[name])
        if name != outcome:
            exclude(frame[name].isna(), f"no {name}")
        exclude(bad, f"{name} is not a number")
        frame[name] = numbers
    exclude(~frame["severity"].between(0, 1), "severity outside 0 to 1")
    for name in _measured(frame):
        if name == outcome:
            continue
        numbers, bad = _numbers(frame[name])
        n_bad = int((bad & (reasons == "")).sum())
        if n_bad:
            notes.append(f"Not a number in the column {name!r}: {count(n_bad, 'value')}, taken as missing.")
        frame[name] = numbers
    frame, turned = larger_is_better(frame)
    notes += [
        f"Of {metric} less is better: its place is taken by 1 − {metric}, so that here, too, a larger score is a "
        "better one. The records hold what was measured."
        for metric in turned
    ]
    control = pd.Series(False, index=frame.index)
    for name, default in columns.CONTROLS.items():
        if name in frame:
            # Records from before the setting was there have its default.
            frame[name], bad = _setting(frame[name], default)
            exclude(bad, f"{name} cannot be read")
            control |= frame[name] != default
    duplicate = _duplicates(frame, reasons == "")
    exclude(duplicate, "duplicate trial")
    if duplicate.any() and "trial_key" not in frame:
        notes.append(
            "Rows with the same configuration count as one trial, the first of them; if they are different "
            "trials, add the column that tells them apart (strength, seed, data_seed or hp.<name>)."
        )

    controls = frame[control & (reasons == "")].reset_index(drop=True)
    exclude(control, CONTROL)
    rules = rules_of(frame[reasons == ""])
    all_selections = frame[reasons == ""].reset_index(drop=True) if len(rules) > 1 else None
    if all_selections is not None:
        exclude(frame[SELECTION].fillna(UNKNOWN).astype(str) != rules[0], f"selection other than {rules[0]}")
    if rules:
        controls = controls[controls[SELECTION].fillna(UNKNOWN).astype(str) == rules[0]].reset_index(drop=True)

    counts = dict(excluded or {})
    for reason, n in reasons[reasons != ""].value_counts(sort=False).items():
        counts[str(reason)] = counts.get(str(reason), 0) + int(n)
    kept = frame[reasons == ""].reset_index(drop=True)
    if kept.empty:
        raise AnalysisError(_nothing_left(source, counts, table))
    for table_kept in (kept, all_selections, controls):
        for name in ("seed", "data_seed"):
            if table_kept is not None and (table_kept[name] % 1 == 0).all():
                table_kept[name] = table_kept[name].astype("int64")
    return Trials(
        table=kept,
        sweep=sweep,
        source=source,
        n_read=len(table) + n_unreadable,
        excluded=dict(sorted(counts.items())),
        notes=tuple(notes),
        missing=(*missing, *_missing_cells(kept)),
        primary=None if primary is None else turned_primary(primary),
        free_primary=free_primary,
        all_selections=all_selections,
        controls=controls if len(controls) else None,
        records=records,
    )


def _check_any_completed(table: pd.DataFrame, source: str) -> None:
    # Before the columns: trials that failed have no scores, so the columns' absence is not what went wrong.
    if len(table) and "status" in table and not table["status"].fillna("completed").eq("completed").any():
        counts = {str(status): int(n) for status, n in table["status"].value_counts().items()}
        raise AnalysisError(_nothing_left(source, counts, table))


def _check_columns(table: pd.DataFrame, source: str) -> None:
    absent = [name for name in REQUIRED if name not in table]
    if absent:
        raise AnalysisError(
            f"{source}: missing column{'s' if len(absent) > 1 else ''} {', '.join(map(repr, absent))}; a "
            f"table needs {', '.join(REQUIRED)} and one localisation column such as "
            f"test_ood.iou.integrated_gradients; it has {_some(table.columns)}"
        )
    if not any(columns.parse_localisation(str(name)) for name in table.columns):
        raise AnalysisError(
            f"{source}: no localisation column; add one named <split>.<metric>.<attribution> with split "
            f"{' or '.join(columns.SCORED_SPLITS)}, such as test_ood.iou.integrated_gradients; "
            f"it has {_some(table.columns)}"
        )


def _some(names: Sequence[str] | pd.Index, most: int = 12) -> str:
    texts = [str(name) for name in names]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return (", ".join(texts[:most]) or "no columns") + more


def _numbers(column: pd.Series) -> tuple[pd.Series, pd.Series]:
    """(the column as floats with infinities as missing, where it held something that is not a number)."""
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    bad = numbers.isna() & column.notna()
    return numbers.replace([np.inf, -np.inf], np.nan), bad


def _flags(column: pd.Series) -> tuple[pd.Series, pd.Series]:
    """(the column as booleans with missing as false, where it held something that is neither true nor false)."""
    text = column.astype(object).where(column.notna(), "").astype(str).str.strip().str.lower()
    true, false = text.isin(("true", "1", "1.0", "yes")), text.isin(("false", "0", "0.0", "no", ""))
    return true, ~(true | false)


def _setting(column: pd.Series, default: object) -> tuple[pd.Series, pd.Series]:
    """(the column as values of the default's type, with the default where missing, where it cannot be read)."""
    filled = column.astype(object).where(column.notna(), default)
    if isinstance(default, bool):
        return _flags(filled)
    if isinstance(default, float):
        return _numbers(filled)
    return filled.astype(str), pd.Series(False, index=column.index)


def _measured(frame: pd.DataFrame) -> list[str]:
    """Columns of scores, their halves, chance levels, sizes and strengths: those that must hold numbers."""
    facts = "|".join((*columns.PERFORMANCE, "chance_iou", "n", "n_smaller_class"))
    performance = re.compile(rf"({'|'.join(columns.SPLITS)})\.({facts})")
    halves = re.compile(r"\.half_[12]$")
    named = ("strength", columns.hyperparameter("n_test"))

    def measured(name: str) -> bool:
        whole = halves.sub("", name)
        return name in named or bool(performance.fullmatch(whole)) or columns.parse_localisation(whole) is not None

    return [name for name in map(str, frame.columns) if measured(name)]


def _duplicates(frame: pd.DataFrame, candidates: pd.Series) -> pd.Series:
    names = [n for n in frame.columns if n in CONFIGURATION or str(n).startswith(columns.HYPERPARAMETER_PREFIX)]
    # A hyperparameter may be a list, which cannot be compared by hash.
    rows = frame[candidates]
    lists = {n: rows[n].astype(str) for n in names if rows[n].map(lambda value: isinstance(value, list)).any()}
    rows = rows.assign(**lists)
    repeated = rows.duplicated(names)
    if "trial_key" in rows:
        repeated |= rows["trial_key"].notna() & rows.duplicated("trial_key")
    return repeated.reindex(frame.index, fill_value=False)


def _nothing_left(source: str, counts: dict[str, int], table: pd.DataFrame) -> str:
    if not counts:
        return f"{source}: no trials; the table has its columns and no rows: run the sweep first"
    told = ", ".join(f"{n} {reason}" for reason, n in sorted(counts.items()))
    if CONTROL in counts:
        return (
            f"{source}: no completed trial under right masks is left ({told}); controls are held against those: run "
            "the same trials without mask_condition, mask_fraction and mask_test into the same sweep"
        )
    errors = table["error"].dropna() if "error" in table else pd.Series(dtype=object)
    first = f"; the first error was: {str(errors.iloc[0]).splitlines()[0]}" if len(errors) else ""
    if set(counts) == {BY_SEARCH}:
        return (
            f"{source}: all {told}; trials that were chosen by earlier results are no sample to correlate: "
            "take the best settings into a sweep of seeds (sweep.py --from) and analyse that"
        )
    return f"{source}: no completed trial is left ({told}){first}; mend the cause and run the sweep again"


def _missing_cells(table: pd.DataFrame) -> list[str]:
    """Cells without a trial among the severities of their dataset and the methods of the whole table."""
    present = set(zip(table["dataset"], table["severity"], table["method"], strict=True))
    absent = [
        f"{method} on {dataset} at severity {severity:g}"
        for dataset, part in table.groupby("dataset")
        for severity in sorted(part["severity"].unique())
        for method in sorted(table["method"].unique())
        if (dataset, severity, method) not in present
    ]
    return [f"No trial in {count(len(absent), 'cell')} of the grid: {'; '.join(absent)}."] if absent else []
