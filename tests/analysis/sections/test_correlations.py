"""The primary's correlations: what the rows and the comparison with ID performance say."""

import numpy as np
import pytest

import analysis
from analysis.answer.answer import answer
from analysis.sections.correlations import SECTION
from analysis.trials.exclusions import trials_from_table
from records import Manifest

DEFAULT, OTHERS = "test_ood.iou.integrated_gradients", ("test_id.pointing.grad_cam", "test_ood.energy.occlusion")


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


def test_rows_between_methods_have_no_interval_in_the_grid(result):
    between = [c for c in result.primary_correlations if c.scope == "between_methods"]
    assert between
    assert {(c.ci_low, c.interval_reason) for c in between} == {(None, "the comparison of methods has the interval")}


DECLARED = analysis.Primary("test_ood", "energy", "occlusion")


@pytest.mark.parametrize(
    ("columns", "primary", "is_exempt"),
    [((DEFAULT, *OTHERS), DECLARED, True), ((DEFAULT, *OTHERS), None, True), (OTHERS, None, False)],
)
def test_a_primary_that_was_picked_from_the_table_is_adjusted_like_the_others(make_table, columns, primary, is_exempt):
    table = make_table(seeds=6, severities=(1.0,), columns=columns)
    # Scores that are copies of one another have one correlation; these differ.
    for position, column in enumerate(columns):
        table[column] += 0.01 * np.random.default_rng(position).normal(size=len(table))
    result = answer(trials_from_table(table, sweep="s", source="t", declared=Manifest(primary=primary)), replicates=100)
    assert ("All correlations are adjusted" in SECTION.method(result, None)["Many comparisons"]) is not is_exempt
    within = [c for c in result.correlations if (c.scope, c.statistic, c.stratum) == ("within_cell", "spearman", None)]
    assert [c.score for c in within if c.p_adjusted is None] == ([result.score] if is_exempt else [])


def test_the_methods_paragraph_says_where_the_interval_comes_from(make_table):
    def words(table):
        return SECTION.reported(answer(table, replicates=100), None)

    few = words(make_table(seeds=5))
    assert few.endswith("There is no interval (fewer than 6 data seeds on a dataset, and trials share them).")
    assert "adjusted by the false discovery rate" in words(make_table(seeds=6))
    # Leaving a data seed out of a perfect correlation changes nothing, so that it has Fisher's interval too.
    perfect = make_table(seeds=8, strengths=(0.1, 1.0))
    perfect["test_ood.auc"] = perfect[DEFAULT]
    assert "No data seed makes a difference to the correlation" in words(perfect)
    assert "No two runs of a cell share a data seed" in words(make_table(seeds=5, methods=("rrr",), severities=(1.0,)))
