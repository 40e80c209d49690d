"""Which strength each rule chooses and what it costs, against pandas and Student's interval."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.answer.answer import answer
from analysis.sections.strength_choices import SECTION, strength_choices
from analysis.trials.trials import Primary

SCORE, OUTCOME, VALID = "test_id.iou.integrated_gradients", "test_ood.auc", "valid_id.auc"
ZEROED = "test_id.auc_outside_zeroed"
SEEDS = 8
BEST, BY_MAP, BY_VALIDATION = 1.0, 10.0, 0.1


@pytest.fixture(scope="module")
def table():
    """One method whose best strength is 1, with the best maps at 10 and the best validation at 0.1."""
    rng = np.random.default_rng(0)
    axes = itertools.product((0.0, 0.5, 1.0), (0.1, 1.0, 10.0), range(SEEDS))
    table = pd.DataFrame(axes, columns=["severity", "strength", "seed"])
    table = table.assign(dataset="crosses", method="actdiff", status="completed", data_seed=table["seed"])
    means = {OUTCOME: (0.5, 0.8, 0.7), SCORE: (0.1, 0.4, 0.6), VALID: (0.95, 0.9, 0.85), ZEROED: (0.5, 0.9, 0.8)}
    for column, of_strengths in means.items():
        noise = rng.normal(scale=0.02 if column == OUTCOME else 0.001, size=len(table))
        table[column] = table["strength"].map(dict(zip((0.1, 1.0, 10.0), of_strengths, strict=True))) + noise
    return table


def by_rule(table):
    return {choice.rule: choice for choice in strength_choices(table, Primary())}


def test_each_rule_takes_the_strength_it_prefers_and_pays_the_difference(table):
    choices = by_rule(table)
    shifted = table[table["severity"] > 0]
    means = shifted.groupby("strength")[OUTCOME].mean()
    assert list(choices) == ["oracle", "id_valid", "localisation_id", "outside_zeroed", "random"]
    expected = {"oracle": BEST, "id_valid": BY_VALIDATION, "localisation_id": BY_MAP, "outside_zeroed": BEST}
    assert {rule: choices[rule].strength for rule in expected} == expected
    for rule, strength in expected.items():
        assert choices[rule].outcome == pytest.approx(means[strength], abs=1e-12)
        assert choices[rule].estimate == pytest.approx(means[BEST] - means[strength], abs=1e-12)
    assert choices["random"].strength is None
    assert choices["random"].estimate == pytest.approx(means[BEST] - means.mean(), abs=1e-12)
    assert {(c.n_strengths, c.n_clusters) for c in choices.values()} == {(3, SEEDS)}


def test_the_interval_is_students_over_the_paired_differences(table):
    shifted = table[table["severity"] > 0]
    per_seed = shifted.groupby(["data_seed", "strength"])[OUTCOME].mean().unstack()
    for rule, strength in (("id_valid", BY_VALIDATION), ("localisation_id", BY_MAP)):
        paired = per_seed[BEST] - per_seed[strength]
        low, high = stats.t.interval(0.95, SEEDS - 1, paired.mean(), stats.sem(paired))
        choice = by_rule(table)[rule]
        assert (choice.ci_low, choice.ci_high) == pytest.approx((low, high), abs=1e-12)
    assert by_rule(table)["oracle"].interval_reason == "it is the best strength itself"
    few = by_rule(table[table["data_seed"] < 5])["localisation_id"]
    assert (few.ci_low, few.interval_reason) == (None, "fewer than 6 data seeds on a dataset")


def test_strata_count_the_same_however_many_trials_they_have(table):
    more = table[(table["severity"] == 1.0) & (table["strength"] == BEST)]
    choices = by_rule(pd.concat([table, more, more], ignore_index=True))
    assert choices["oracle"].outcome == pytest.approx(by_rule(table)["oracle"].outcome, abs=1e-12)


def test_strengths_that_tie_count_as_their_mean(table):
    choice = by_rule(table.assign(**{VALID: 1.0}))["id_valid"]
    assert choice.strength is None
    assert choice.estimate == pytest.approx(by_rule(table)["random"].estimate, abs=1e-12)


def test_a_strength_that_one_severity_lacks_is_not_compared(table):
    without = table[(table["strength"] != BEST) | (table["severity"] != 1.0)]
    choices = by_rule(without)
    assert choices["oracle"].strength == BY_MAP
    assert choices["oracle"].n_strengths == 2


def test_strengths_that_no_two_trials_share_are_named_as_what_is_missing(table):
    drawn = table.assign(strength=np.random.default_rng(1).uniform(0.1, 10, len(table)))
    assert strength_choices(table[table["severity"] == 0.0], Primary()) == ()
    for trials, lacks in ((drawn, 1), (table, 0), (table[table["strength"] == BEST], 0)):
        result = answer(trials, replicates=100)
        missing = SECTION.missing(result, SECTION.compute(result))
        assert len(missing) == lacks
        assert all(why == "no method has two strengths with trials at every severity above 0" for _, why in missing)


def test_the_table_has_a_row_per_method_and_dataset(table):
    both = pd.concat([table, table.assign(method="rrr"), table.assign(dataset="digits")], ignore_index=True)
    result = answer(both, replicates=100)
    choices = SECTION.compute(result)
    wide, long = SECTION.tables(result, choices)
    fields = [c.field for c in wide.columns]
    rows = [dict(zip(fields, (raw for raw, _ in row), strict=True)) for row in wide.entries]
    cells = [("crosses", "actdiff"), ("crosses", "rrr"), ("digits", "actdiff")]
    assert [(row["dataset"], row["method"]) for row in rows] == cells
    for row in rows:
        assert (row["best_strength"], row["id_valid.strength"], row["localisation_id.strength"]) == (1.0, 0.1, 10.0)
        assert row["localisation_id.cost"] == pytest.approx(by_rule(table)["localisation_id"].estimate, abs=1e-12)
    assert len(long.rows) == len(choices) == 15


def test_a_mean_over_fewer_pairs_is_not_set_beside_the_others(table):
    """Probes on one of two datasets; strengths matter twice as much on the other."""
    other = table.assign(dataset="digits", **{OUTCOME: 2 * table[OUTCOME] - 0.5, ZEROED: np.nan})
    result = answer(pd.concat([table, other], ignore_index=True), replicates=100)
    means = SECTION.sentence(result, SECTION.compute(result)).partition(". ")[0]
    assert f"{1.5 * by_rule(table)['id_valid'].estimate:.3f} by validation" in means
    assert " by the probe" not in means
