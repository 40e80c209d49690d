"""Means by cell and by strength, against pandas."""

import pandas as pd
import pytest

import analysis
from analysis.sections.strengths import SECTION as STRENGTHS

OUTCOME, SCORE = "test_ood.auc", "test_ood.iou.integrated_gradients"


@pytest.fixture(scope="module")
def table(make_table):
    table = make_table(seeds=6, strengths=(0.0, 0.1, 1.0))
    weighed = table["method"].isin(["actdiff", "rrr"])
    table = table[weighed | (table["strength"] == 0.0)].assign(**{"hp.lr": 0.001})
    # A seed with two trials of one strength, as of two learning rates.
    twice = table[table["strength"] == 0.1].head(2).assign(**{"trial_key": ["again-1", "again-2"], "hp.lr": 0.01})
    twice[OUTCOME] += 0.1
    return pd.concat([table, twice], ignore_index=True)


def test_each_strength_of_a_cell_with_several(table):
    result = analysis.analyse(table, replicates=100)
    keys = ["dataset", "severity", "method", "strength"]
    weighed = table[table["method"].isin(["actdiff", "rrr"])].groupby(keys)
    strengths = result.results["strengths"]
    assert [(r.dataset, r.severity, r.method, r.strength) for r in strengths] == list(weighed.groups)
    for row, (_, part) in zip(strengths, weighed, strict=True):
        assert row.n == len(part)
        assert (row.ood.mean, row.ood.sd) == pytest.approx((part[OUTCOME].mean(), part[OUTCOME].std()), abs=1e-12)
        assert row.localisation.mean == pytest.approx(part[SCORE].mean(), abs=1e-12)
    (written,) = STRENGTHS.tables(result, strengths)
    assert written.name == "strengths"
    assert written.columns[3].field == "strength"
    assert [row[3][0] for row in written.entries] == [row.strength for row in strengths]


def test_without_several_strengths_there_is_no_section_of_them(make_table):
    result = analysis.analyse(make_table(seeds=6), replicates=100)
    assert STRENGTHS.is_empty(result)
