"""The trials in report.html for its script: settings and scores, column by column."""

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
"""Maximum number of trials in the page, so that a browser can read it; they are those of the first data seeds."""
ALWAYS = ("trial_key", "dataset", "severity", "method", "strength", "seed", "data_seed")
"""Columns by which the script selects trials; other columns are only shown."""
SETTINGS = ("key", "configuration", "seed")
"""Roles of columns that identify a trial; other columns are scores."""


def page_rows(table: pd.DataFrame) -> Ints:
    """Positions of the trials in the page, ascending."""
    order = np.argsort(table["data_seed"].to_numpy(), kind="stable")
    return np.sort(order[:MOST])


def trials_data(analysis: Analysis) -> dict[str, Any]:
    """Settings, performance, probes and the primary's score of each trial of `page_rows`.

    Returns:
        `columns`: each column that varies or is in `ALWAYS`, with its name, label, whether it is a setting, and
        `values` or, for texts, distinct `levels` and the position of each trial's level as `at`; null for missing ones.
        `names`: datasets and methods in words, in the report's order. `common`: label and text of each setting that all
        trials share. `n` and `n_all`: number of trials in the page and in all.
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
            value = values.iloc[0]
            short = _number(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
            common.append([column_name(column), str(value if short is None else short)])
    order = [*sorted(table["dataset"].unique()), *in_order(table["method"])]
    names_of = {raw: name(raw) for raw in order}
    return {"n": len(table), "n_all": n_all, "columns": shown, "names": names_of, "common": common}


def _encoded(values: pd.Series) -> dict[str, Any]:
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return {"values": [_number(value) for value in values.tolist()]}
    at, levels = pd.factorize(values.astype("string"))
    return {"levels": list(map(str, levels)), "at": [None if position < 0 else int(position) for position in at]}


def _number(value: Any) -> float | int | None:
    """Whole numbers unchanged, others with four digits; None if missing or infinite."""
    if pd.isna(value) or not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else float(f"{value:.4g}")
