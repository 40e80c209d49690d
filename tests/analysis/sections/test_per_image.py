"""Whether a better map on an image goes with a right answer: means over models, clustered by data seed."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.answer.answer import answer
from analysis.sections.per_image import SECTION, per_image
from records import columns

COLUMN = columns.correctness_auroc("test_ood", "iou", "integrated_gradients")
OTHER = columns.correctness_auroc("test_ood", "iou", "occlusion")


def analysed(make_table, values=None, **others):
    table = make_table(seeds=8)
    rng = np.random.default_rng(0)
    per_seed = dict(enumerate(rng.normal(0.62, 0.05, size=8)))
    table[COLUMN] = [per_seed[s] for s in table["data_seed"]] if values is None else values
    for name, column in others.items():
        table[columns.correctness_auroc("test_ood", "iou", name)] = column
    return answer(table, replicates=100), np.asarray(list(per_seed.values()))


def test_the_mean_has_students_interval_over_data_seeds(make_table):
    answered, per_seed = analysed(make_table)
    whole = per_image(answered)[0]
    exact = stats.ttest_1samp(per_seed, 0.5).confidence_interval()
    assert whole.estimate == pytest.approx(per_seed.mean())
    assert (whole.ci_low, whole.ci_high) == pytest.approx(tuple(exact))
    assert (whole.n, whole.n_missing, whole.n_clusters) == (32, 0, 8)  # four methods at severity 1; none at severity 0


def test_strata_without_a_shift_are_shown_but_not_averaged(make_table):
    answered, _ = analysed(make_table)
    moved = answered.trials.table.copy()
    moved.loc[moved["severity"] == 0, COLUMN] = 0.1
    others = per_image(answer(moved, replicates=100))
    assert others[0] == per_image(answered)[0]
    assert {entry.estimate for entry in others if entry.severity == 0} == {0.1}


@pytest.mark.parametrize(("mean", "claim"), [(0.6, "more often"), (0.4, "less often"), (0.5, "are not seen to be")])
def test_the_sentence_claims_no_more_than_the_interval(make_table, mean, claim):
    answered, _ = analysed(make_table, mean + 0.01 * (np.tile(np.arange(8), 8) - 3.5))
    sentence = SECTION.sentence(answered, per_image(answered))
    assert claim in sentence
    assert ("not seen" in sentence) == (mean == 0.5)


def test_models_without_a_value_are_counted(make_table):
    answered, _ = analysed(make_table, np.where(np.arange(64) < 48, 0.7, np.nan))
    whole = per_image(answered)[0]
    assert (whole.n, whole.n_missing, whole.estimate) == (16, 16, pytest.approx(0.7))


def test_without_the_column_it_is_named(make_table):
    result = per_image(answer(make_table(seeds=8), replicates=100))
    assert [entry.reason for entry in result] == [f"no trial has the column {COLUMN!r}"]


def test_a_section_is_listed_as_missing_only_where_it_is_not_shown(make_table):
    """One method without a value, here one that is always right, leaves the section and its result in the report."""
    answered, _ = analysed(make_table, occlusion=np.nan)
    answered.trials.table.loc[answered.trials.table["method"] == "masked", COLUMN] = np.nan
    for missing in (False, True):
        if missing:
            answered.trials.table[COLUMN] = np.nan
        with_result = replace(answered, results={"per_image": per_image(answered)})
        reasons = {entry.reason for entry in with_result.results["per_image"]}
        assert "no model has five right and five wrong answers on the scored images" in reasons
        assert SECTION.is_undefined(with_result) is bool(SECTION.lacks(with_result)) is missing
