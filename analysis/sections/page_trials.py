"""What the script of report.html knows of the trials: their settings and scores, column by column."""

import math
from typing import Any

import numpy as np
import pandas as pd

from analysis.answer.answer import Analysis
from analysis.numbers import column_name, name
from analysis.sections.drawing import in_order
from analysis.stats.rank_correlation import Ints
from records import columns

MOST = 5000
"""Trials in the page; beyond them those of the first data seeds, since a browser has to read them all."""
ALWAYS = ("trial_key", "dataset", "severity", "method", "strength", "seed", "data_seed")
"""Columns that the script picks trials by; the other ones are only shown."""
SETTINGS = ("key", "configuration", "seed")
"""Roles of the columns that say which trial it is; the other ones are scores."""


def page_rows(table: pd.DataFrame) -> Ints:
    """The rows of the trials in the page, ascending: all of them, or the first `MOST` by data seed."""
    order = np.argsort(table["data_seed"].to_numpy(), kind="stable")
    return np.sort(order[:MOST])


def trials_data(analysis: Analysis) -> dict[str, Any]:
    """Settings, performance, probes and the primary's score of each trial of `page_rows`.

    Returns:
        `columns`, one per column that varies or is in `ALWAYS`: its name, its label, whether it is a setting, and
        either `values` or, for texts, the distinct ones as `levels` and the place of each trial's as `at`; what is
        missing is null. `names`, the names of datasets and methods for people, in the report's order. `common`, the
        label and text of each setting that all trials have in common. `n`, the number of trials here, and `n_all`.
    """
    table, primary = analysis.trials.table, analysis.primary
    n_all = len(table)
    table = table.iloc[page_rows(table)]
    names = {str(n) for n in table if columns.column_of(str(n)).role in (*SETTINGS, "performance", "probe")}
    names |= {n for n in (primary.column, "best_epoch") if n in table}
    shown, common = [], []
    for column in columns.ordered(names):
        # A setting may be a list, which has no hash.
        values = table[column].map(lambda value: " ".join(map(str, value)) if isinstance(value, list) else value)
        if column in ALWAYS or values.nunique(dropna=False) > 1:
            is_setting = columns.column_of(column).role in SETTINGS
            shown.append({"name": column, "label": column_name(column), "is_setting": is_setting, **_encoded(values)})
        elif values.notna().all():
            common.append([column_name(column), _text(values.iloc[0])])
    order = [*sorted(table["dataset"].unique()), *in_order(table["method"])]
    names_of = {raw: name(raw) for raw in order}
    return {"n": len(table), "n_all": n_all, "columns": shown, "names": names_of, "common": common}


def _encoded(values: pd.Series) -> dict[str, Any]:
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return {"values": [_number(value) for value in values.tolist()]}
    at, levels = pd.factorize(values.astype("string"))
    return {"levels": list(map(str, levels)), "at": [None if place < 0 else int(place) for place in at]}


def _number(value: Any) -> float | int | None:
    """Whole numbers as they are, others with four digits; None for a missing or infinite one."""
    if pd.isna(value) or not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else float(f"{value:.4g}")


def _text(value: Any) -> str:
    number = _number(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    return str(value) if number is None else f"{number}"
