"""Settings that a sweep's command did not vary: records with other values come from other commands."""

from typing import Any

import pandas as pd

from analysis.numbers import column_name
from records.manifest import Fixed


def other_setting(table: pd.DataFrame, fixed: Fixed) -> pd.Series:
    """Per row, the first fixed setting with another value, as in "epochs other than 3"; "" if there is none.

    A missing value counts as another value only if other rows of the dataset and method have the fixed one: methods
    differ in their settings, and records leave out some settings at their default.
    """
    reasons = pd.Series("", index=table.index, dtype=object)
    for dataset, settings in fixed.items():
        rows = table[table["dataset"].astype(str) == dataset]
        for name in settings:
            if name not in rows or rows.empty:
                continue
            value, missing = settings[name], rows[name].isna()
            same = ~missing & _equals(rows[name], value)
            used = same.groupby(rows["method"]).transform("any")
            other = (~missing & ~same) | (missing & used)
            usual = "its default" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
            reasons[other[other & (reasons[rows.index] == "")].index] = f"{column_name(name)} other than {usual}"
    return reasons


def _equals(column: pd.Series, value: Any) -> pd.Series:
    """Where a column has a value, whether it was read from records or from text."""
    if value is None:
        return pd.Series(False, index=column.index)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return pd.to_numeric(column, errors="coerce") == value
    return column.astype(str).str.lower() == str(value).lower()
