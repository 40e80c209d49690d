"""One selection rule is analysed, and the others are compared with it on the same trainings."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import analyse, trials_from_table
from analysis.sections.selection_rules import selection_rules
from analysis.trials.design import rules_of
from analysis.trials.trials import Primary

SCORE, OOD = "test_ood.iou.integrated_gradients", "test_ood.auc"


@pytest.fixture
def several(make_table):
    """Each training scored by three rules: `last` lowers the outcome by a little that varies with the data seed."""
    one = make_table(rho=0.6, seeds=8).assign(preset="fixed", **{"hp.widths": [[1, 2]] * 64})
    fall = 0.01 + 0.002 * one["data_seed"] + 0.001 * np.random.default_rng(1).normal(size=len(one))
    rules = {
        "best_valid_ood": one.assign(**{OOD: one[OOD] + 0.03, SCORE: -one[SCORE]}),
        "best_valid_id": one,
        "last": one.assign(**{OOD: one[OOD] - fall}),
    }
    tables = [t.assign(selection=r, trial_key=t["trial_key"] + r) for r, t in rules.items()]
    return pd.concat(tables, ignore_index=True), one, fall


def test_the_rules_are_not_mixed(several):
    table, one, _ = several
    trials = trials_from_table(table, sweep="s", source="s")
    assert set(trials.table["selection"]) == {"best_valid_id"}
    assert trials.excluded == {"selection other than best_valid_id": 2 * len(one)}
    assert trials.n_read == len(trials.table) + sum(trials.excluded.values())
    mixed = analyse(trials, replicates=100)
    alone = analyse(trials_from_table(one, sweep="s", source="s"), replicates=100)
    assert mixed.correlations == alone.correlations
    assert mixed.verdict.sentence == alone.verdict.sentence
    assert alone.results["selection_rules"] is None


def test_differences_are_paired_and_their_interval_is_students_over_data_seeds(several):
    table, one, fall = several
    found = selection_rules(table, Primary(), replicates=100, seed=0)
    assert [row.selection for row in found.rows] == ["best_valid_id", "last", "best_valid_ood"]
    analysed, last, oracle = found.rows
    assert analysed.difference is None
    assert oracle.difference.estimate == pytest.approx(0.03)
    by_seed = (-fall).groupby(one["data_seed"]).mean()
    interval = stats.t.interval(0.95, len(by_seed) - 1, by_seed.mean(), stats.sem(by_seed))
    assert last.difference.estimate == pytest.approx(by_seed.mean())
    assert (last.difference.ci_low, last.difference.ci_high) == pytest.approx(interval)
    assert last.difference.n == len(one)
    assert oracle.localisation.estimate == pytest.approx(-analysed.localisation.estimate)
    assert analysed.reference.reason, "the ID AUC of these tables is constant"


def test_without_a_training_in_common_there_is_no_difference(several):
    table, _, _ = several
    presets = table.assign(preset=table["selection"].map(lambda rule: "paper" if rule == "best_valid_ood" else "fixed"))
    found = selection_rules(presets, Primary(), replicates=100, seed=0)
    oracle = found.rows[2]
    assert (oracle.selection, oracle.difference.estimate) == ("best_valid_ood", None)
    assert oracle.difference.reason == "no training was scored by both rules"
    assert oracle.difference.reason in found.sentence


def test_the_rule_with_most_cells_is_analysed_and_an_oracle_last(several):
    table, one, _ = several
    assert rules_of(table) == ["best_valid_id", "last", "best_valid_ood"]
    few = table[(table["selection"] != "best_valid_id") | (table["method"] == "baseline")]
    assert rules_of(few) == ["last", "best_valid_ood", "best_valid_id"]
    assert rules_of(one) == []
    assert rules_of(one.assign(selection=[None, *["last"] * (len(one) - 1)])) == ["last", "not recorded"]
