"""What the report says of its comparisons: how the words come about, and what is counted."""

import io

import pandas as pd
import pytest

from analysis.answer.answer import answer
from analysis.sections.comparisons import IN_WORDS, SECTION
from analysis.sections.head import data_seeds, facts
from analysis.sections.table import to_csv

METHODS = ("baseline", "masked", "actdiff", "rrr", "gradmask")


@pytest.fixture(scope="module")
def result(make_table):
    """Six data seeds on one dataset, eight on the other."""
    settings = {"severities": (1.0,), "methods": METHODS, "strengths": (0.1, 1.0), "rho": 0.9, "step": 0.05}
    parts = [make_table(seeds=seeds, datasets=(name,), **settings) for name, seeds in (("crosses", 6), ("dots", 8))]
    return answer(pd.concat(parts, ignore_index=True), replicates=100)


def test_data_seeds_are_counted_on_each_dataset(result):
    assert data_seeds(result.trials.table) == "6 to 8 data seeds"
    assert data_seeds(result.trials.table[lambda t: t["dataset"] == "dots"]) == "8 data seeds"
    assert "with 6 to 8 data seeds per dataset" in SECTION.reported(result, result.comparisons)
    assert ("6 to 8 data seeds", "on each dataset, the unit of independence") in facts(result)


def test_without_data_seeds_none_are_counted_and_nothing_is_permuted(make_table):
    table = make_table(seeds=6, severities=(1.0,), methods=METHODS, strengths=(0.1, 1.0), rho=0.9)
    unknown = answer(table.drop(columns="data_seed"), replicates=100)
    assert ("data seeds not recorded", "so it is not known which trials share their images") in facts(unknown)
    paragraph = SECTION.reported(unknown, unknown.comparisons)
    assert " with data seeds not recorded, after the design" in paragraph
    assert "data seed" not in repr(unknown.trials)
    entries = (*unknown.correlations, *unknown.reference)
    assert {entry.p_permutation for entry in entries} == {None}
    known = answer(table, replicates=100)
    assert known.find("within_cell").p_permutation is not None


def test_the_csv_names_each_stratum(make_table):
    severities = (0.0, 0.5, 1.0)
    result = answer(make_table(seeds=6, severities=severities), replicates=100)
    (table,) = IN_WORDS.tables(result, None)
    rows = pd.read_csv(io.StringIO(to_csv(table)))
    seed = rows[rows["comparison"] == "seed"]
    assert seed["severity"].tolist()[:3] == list(severities)
    assert seed["method"].notna().tolist() == [False] * 3 + [True] * 4
