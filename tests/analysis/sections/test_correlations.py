"""The primary's correlations: what the rows and the comparison with ID performance say."""

import numpy as np
import pytest

import analysis
from analysis.sections.correlations import SECTION


@pytest.fixture(scope="module")
def result(make_table):
    """Without a shift ID performance is the outcome; with one it is noise."""
    table = make_table(seeds=12, severities=(0.0, 0.5, 1.0))
    noise = np.random.default_rng(0).normal(size=len(table))
    table["test_id.auc"] = np.where(table["severity"] == 0, table["test_ood.auc"], 0.9 + 0.01 * noise)
    return analysis.analyse(table, replicates=100)


def test_id_performance_is_compared_under_a_shift_alone(result):
    of_all, under_shift = result.reference[0], result.results["primary_correlations"].reference_under_shift
    table = result.trials.table
    alone = analysis.analyse(table[table["severity"] > 0].reset_index(drop=True), replicates=100).reference[0]
    assert (under_shift.estimate, under_shift.ci_low) == (pytest.approx(alone.estimate), pytest.approx(alone.ci_low))
    assert abs(under_shift.estimate) < 0.3 < of_all.estimate
    sentence = SECTION.sentence(result, result.results["primary_correlations"])
    assert f"has a correlation of {under_shift.estimate:.2f} (".replace("-", "−") in sentence
    assert "within cells of strata with a shift. Stratum by stratum: crosses, s = 0: 1.00" in sentence


def test_rows_between_methods_say_that_the_methods_are_held_fixed(result):
    (table,) = SECTION.tables(result, result.results["primary_correlations"])
    between = [row[0][1] for row in table.rows if row[0][0] == "between_methods"]
    assert between
    assert set(between) == {"between methods, held fixed"}
    assert "There the interval holds these methods fixed" in table.caption
