"""What a table's scores mean: their direction, and the number of images behind an outcome.

In the analysis higher localisation scores are better. A recorded metric for which lower is better is replaced by its
complement: `1-distractor_mass` for `distractor_mass`.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.trials.trials import Primary
from records import columns

COMPLEMENTS = {metric: f"1-{metric}" for metric in columns.LOWER_IS_BETTER}
"""By metric s for which lower is better, the name of its complement 1 − s."""


def higher_is_better(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Replace each score s in [0, 1] for which lower is better, and its scores on halves of the images, by 1 − s.

    Returns the table with the renamed columns, and the metrics that were replaced.
    """
    names: dict[str, str] = {}
    metrics: list[str] = []
    for column in map(str, table.columns):
        split, _, rest = column.partition(".")
        metric, _, rest = rest.partition(".")
        if split in columns.SCORED_SPLITS and metric in COMPLEMENTS and rest:
            names[column] = columns.localisation(split, COMPLEMENTS[metric], rest)
            metrics.append(metric)
    result = table.drop(columns=[name for name in names.values() if name in table]).rename(columns=names)
    for name in names.values():
        result[name] = 1 - result[name]
    return result, list(dict.fromkeys(metrics))


def primary_higher_is_better(primary: Primary) -> Primary:
    """The primary with the metric that `higher_is_better` uses instead."""
    return replace(primary, metric=COMPLEMENTS.get(primary.metric, primary.metric))


@dataclass(frozen=True)
class Proportion:
    """An outcome that is a mean over n independent images ([trials], NaN where unknown), or the reason for none."""

    column: str | None
    n: NDArray[np.float64]
    reason: str | None = None


def proportion_of(table: pd.DataFrame, outcome: str) -> Proportion:
    """The accuracy that belongs to an outcome, and the number of images n behind it.

    Hoeffding's bound and the binomial model hold for a mean over images, which accuracy is and AUC is not. n is the
    column `<split>.n` or, for a test split, `hp.n_test`. A table without accuracy falls back on AUC with the size of
    the smaller class, `<split>.n_smaller_class`, for n.
    """
    split, _, measure = outcome.rpartition(".")
    accuracy = columns.performance(split, "accuracy")
    if accuracy in table:
        sources = [columns.images(split), *([columns.hyperparameter("n_test")] if split.startswith("test_") else [])]
        column = accuracy
    elif measure == "auc":
        sources, column = [f"{split}.n_smaller_class"], outcome
    else:
        return Proportion(None, np.full(len(table), np.nan), f"no trial has the column {accuracy!r}")
    n = pd.Series(np.nan, index=table.index)
    for source in sources:
        if source in table:
            n = n.fillna(pd.to_numeric(table[source], errors="coerce"))
    sizes = np.asarray(n.where(n > 0), dtype=np.float64)
    if np.isfinite(sizes).any():
        return Proportion(column, sizes)
    names = " or ".join(map(repr, sources))
    return Proportion(None, sizes, f"the number of test images is unknown: no trial has the column {names}")
