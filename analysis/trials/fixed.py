"""Settings that a sweep's command did not vary, by which records of other commands are told apart."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.numbers import column_name

Fixed = Mapping[str, Mapping[str, Any]]
"""By dataset: columns of the configuration and their values; None for a column that no trial of the command has."""


def declared_fixed(manifest: Mapping[str, Any] | None) -> Fixed:
    """The fixed settings in a sweep's manifest; none where it declares none.

    Raises:
        AnalysisError: the declaration is not an object of objects.
    """
    declared = (manifest or {}).get("fixed", {})
    if not isinstance(declared, Mapping) or not all(isinstance(values, Mapping) for values in declared.values()):
        raise AnalysisError(
            f"bad fixed settings {declared!r} in the sweep's sweep.json: give an object of columns and values for each "
            "dataset, or remove the key"
        )
    return declared


def other_setting(table: pd.DataFrame, fixed: Fixed) -> pd.Series:
    """Per row, the first fixed setting that it does not have, as in "epochs other than 3"; "" where it has all.

    A row without the setting does not have it only where other rows of its dataset and method do: methods differ in
    their settings, and records leave out some settings at their default.
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
