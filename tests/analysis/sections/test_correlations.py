"""The primary's correlations: what the rows and the comparison with ID performance say."""

import numpy as np
import pytest

import analysis
from analysis.answer.answer import answer
from analysis.sections import scores
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
    ("columns", "primary", "chosen", "other", "caption"),
    [
        ((DEFAULT, *OTHERS), DECLARED, "The primary was declared beforehand.", "the other", " and were not declared"),
        (
            (DEFAULT, *OTHERS),
            None,
            "No primary was declared; the default does not depend on the data.",
            "the other",
            "none was declared",
        ),
        (OTHERS, None, "The primary was not declared beforehand: it stands in", "all", "none was declared"),
    ],
)
def test_the_words_say_whether_the_primary_was_declared(make_table, columns, primary, chosen, other, caption):
    """A primary that was picked from the table is adjusted like the other scores."""
    table = make_table(seeds=6, severities=(1.0,), columns=columns)
    # Scores that are copies of one another have one correlation; these differ.
    for position, column in enumerate(columns):
        table[column] += 0.01 * np.random.default_rng(position).normal(size=len(table))
    result = answer(trials_from_table(table, sweep="s", source="t", declared=Manifest(primary=primary)), replicates=100)
    words = SECTION.method(result, None)["Many comparisons"]
    assert words.startswith(chosen)
    assert ("All correlations are adjusted" in words) is (other == "all")
    assert f"The p-values of {other} localisation scores and strata were adjusted" in SECTION.reported(result, None)
    within = [c for c in result.correlations if (c.scope, c.statistic, c.stratum) == ("within_cell", "spearman", None)]
    exempt = [c for c in within if c.p_adjusted is None]
    assert [c.score for c in exempt] == ([] if other == "all" else [result.score])
    (drawing,) = scores.SECTION.figures(result, None)
    assert f"{caption} beforehand" in drawing.caption


def test_without_intervals_there_are_no_p_values_and_none_is_said_to_be_adjusted(make_table):
    result = answer(make_table(seeds=5), replicates=100)
    words = SECTION.reported(result, None)
    assert words.endswith("There is no interval (fewer than 6 data seeds on a dataset, and trials share them).")
    assert "false discovery rate" not in words
    assert "adjusted by the false discovery rate" in SECTION.reported(answer(make_table(seeds=6)), None)


def test_a_perfect_correlation_does_not_make_data_seeds_unshared(make_table):
    """It too has Fisher's interval, since no data seed makes a difference to it."""
    table = make_table(seeds=8, strengths=(0.1, 1.0))
    table["test_ood.auc"] = table[DEFAULT]
    words = SECTION.reported(answer(table, replicates=100), None)
    assert "No two runs of a cell share a data seed" not in words
    assert "No data seed makes a difference to the correlation" in words
    single = make_table(seeds=5, methods=("rrr",), severities=(1.0,))
    assert "No two runs of a cell share a data seed" in SECTION.reported(answer(single, replicates=100), None)
