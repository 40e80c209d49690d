"""The whole answer on tables made to mislead: what is said must be true of the table."""

import numpy as np
import pandas as pd
import pytest
from support.layered_trials import METHODS, OUTCOME, SCORE, Layer, layered

from analysis.answer.answer import answer

UNDECIDED = {
    "seed": "Undecided: these trials do not show whether, of two runs of the same recipe, the one with the better map "
    "generalizes better",
    "setting": "Undecided: these trials do not show whether settings with better maps generalize better",
    "method": "Undecided: these methods do not show whether methods with better maps generalize better",
    "given_id": "Undecided: these trials do not show whether maps add to ID validation AUC",
}


def sentences(table):
    """(verdict's sentence, each comparison's sentence by its name)."""
    result = answer(table, replicates=100)
    return result.verdict.sentence, {c.comparison: c.sentence for c in result.comparisons}


def joined(*tables):
    return pd.concat(tables, ignore_index=True)
