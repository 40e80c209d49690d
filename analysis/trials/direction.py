"""The direction of scores: in the analysis a larger localisation score is always a better one."""

from dataclasses import replace

import pandas as pd

from analysis.trials.primary import Primary
from records import columns

TURNED = {metric: f"1-{metric}" for metric in columns.LOWER_IS_BETTER}
"""What the analysis has in place of a metric of which less is better."""


def larger_is_better(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The table with 1 − s in place of each score s of which less is better, its halves included, under another name.

    Args:
        table: its localisation columns hold numbers. Those that are turned already stay as they are.

    Returns:
        The table, and the metrics that were turned, in the table's order.
    """
    names: dict[str, str] = {}
    metrics: list[str] = []
    for column in map(str, table.columns):
        split, _, rest = column.partition(".")
        metric, _, rest = rest.partition(".")
        if split in columns.SCORED_SPLITS and metric in TURNED and rest:
            names[column] = columns.localisation(split, TURNED[metric], rest)
            metrics.append(metric)
    turned = table.drop(columns=[name for name in names.values() if name in table]).rename(columns=names)
    for name in names.values():
        turned[name] = 1 - turned[name]
    return turned, list(dict.fromkeys(metrics))


def turned_primary(primary: Primary) -> Primary:
    """The primary with its metric as the analysis has it."""
    return replace(primary, metric=TURNED.get(primary.metric, primary.metric))
