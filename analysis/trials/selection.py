"""Which selection rules a table has, and which of them is analysed.

Trials that differ in their selection rule alone share a training, so a cell that held them all would count each
training several times: one rule is analysed, and the others are compared with it.
"""

import pandas as pd

SELECTION = "selection"
UNKNOWN = "not recorded"
IN_ORDER = ("best_valid_id", "last", "best_valid_ood")
"""Of rules that cover as many cells the first is analysed; best_valid_ood is an oracle, and comes last."""


def selection_of(table: pd.DataFrame) -> pd.Series:
    """The selection rule of each trial, `UNKNOWN` where it is missing."""
    return table[SELECTION].astype(object).fillna(UNKNOWN).astype(str)


def rules_of(table: pd.DataFrame) -> list[str]:
    """The selection rules of a table, the one to analyse first.

    That is the rule with trials in most cells; among equals the first of `IN_ORDER`. A table without the column has
    none.
    """
    if SELECTION not in table:
        return []
    cells = table[["dataset", "severity", "method"]].assign(**{SELECTION: selection_of(table)}).drop_duplicates()
    covered = cells[SELECTION].value_counts()
    order = {rule: position for position, rule in enumerate(IN_ORDER)}
    return sorted(covered.index, key=lambda rule: (-int(covered[rule]), order.get(rule, len(order)), rule))
