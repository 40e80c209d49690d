"""Which selection rules a table has, and which of them is analysed.

Trials that differ in their selection rule alone share a training. So that no training counts twice, one rule is
analysed, and the others are compared with it.
"""

import pandas as pd

SELECTION = "selection"
UNKNOWN = "not recorded"
IN_ORDER = ("best_valid_id", "last", "best_valid_ood")
"""Order of rules that cover equally many cells; best_valid_ood is an oracle."""


def selection_of(table: pd.DataFrame) -> pd.Series:
    """The selection rule of each trial, `UNKNOWN` where it is missing."""
    return table[SELECTION].astype(object).fillna(UNKNOWN).astype(str)


def rules_of(table: pd.DataFrame) -> list[str]:
    """The selection rules of a table by the number of cells they cover; the first is analysed."""
    if SELECTION not in table:
        return []
    cells = table[["dataset", "severity", "method"]].assign(**{SELECTION: selection_of(table)}).drop_duplicates()
    covered = cells[SELECTION].value_counts()
    order = {rule: position for position, rule in enumerate(IN_ORDER)}
    return sorted(covered.index, key=lambda rule: (-int(covered[rule]), order.get(rule, len(order)), rule))
