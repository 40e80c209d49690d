"""How many images a test score is a mean over, for the estimands that need to know."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.stats.rank_correlation import Floats
from records import columns


@dataclass(frozen=True)
class Proportion:
    """An outcome that is a mean of n independent images, and its n; None, with the reason, where unknown."""

    column: str | None
    n: Floats
    """[trials] images behind each value, NaN where unknown."""
    reason: str | None = None


def proportion_of(table: pd.DataFrame, outcome: str) -> Proportion:
    """The accuracy that goes with an outcome and the number of images it is a mean over.

    Hoeffding's bound and the binomial model hold for a mean over images, which accuracy is. AUC is not; where a
    table has no accuracy, AUC is taken with the size of the smaller class, `<split>.n_smaller_class`, in place of n.
    The images are counted by the column `<split>.n` or, for a test split, `hp.n_test`. Neither is ever guessed.
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
    sizes: Floats = np.asarray(n.where(n > 0), dtype=np.float64)
    if not np.isfinite(sizes).any():
        names = " or ".join(map(repr, sources))
        return Proportion(None, sizes, f"the number of test images is unknown: no trial has the column {names}")
    return Proportion(column, sizes)
