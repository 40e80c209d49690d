"""What a table must hold, which rows are excluded, and under which reason."""

import numpy as np
import pandas as pd
import pytest

import analysis

SCORE = "test_ood.iou.integrated_gradients"


def test_each_bad_row_is_counted_once_under_its_reason(make_table):
    table = make_table(seeds=4).astype({"severity": object, "seed": object, "test_ood.auc": object})
    table.loc[[0, 5], "status"] = ["failed", "running"]
    table.loc[:2, "severity"] = ["high", "high", 1.5]  # the first is already counted as failed
    table.loc[3, "test_ood.auc"] = "n/a"
    table.loc[4, "seed"] = None
    table.loc[6, "dataset"] = None
    table = pd.concat([table, table.tail(2)], ignore_index=True)
    trials = analysis.trials_from_table(table, sweep="s", source="t")
    assert trials.excluded == {
        "duplicate trial": 2,
        "failed": 1,
        "no dataset": 1,
        "no seed": 1,
        "severity is not a number": 1,
        "severity outside 0 to 1": 1,
        "status 'running'": 1,
        "test_ood.auc is not a number": 1,
    }
    assert len(trials.table) == 34 - 9
    assert trials.n_read == 34


def test_duplicates_by_configuration_where_there_is_no_key(make_table):
    table = make_table(seeds=4).drop(columns="trial_key")
    twice = pd.concat([table, table.assign(**{"test_ood.auc": 0.1})], ignore_index=True)
    trials = analysis.trials_from_table(twice, sweep="s", source="t")
    assert trials.excluded == {"duplicate trial": 32}
    assert trials.table["test_ood.auc"].min() > 0.1  # the first of them stays
    assert any("add the column that tells them apart" in note for note in trials.notes)
    for column, values, expected in (("hp.lr", (0.1, 0.2), {}), ("hp.searcher", ("grid", "random"), trials.excluded)):
        both = pd.concat([table.assign(**{column: value}) for value in values], ignore_index=True)
        assert analysis.trials_from_table(both, sweep="s", source="t").excluded == expected


@pytest.mark.parametrize("kind", [list, np.asarray])  # as made by hand, and as pyarrow reads a list
def test_trials_with_different_lists_are_not_duplicates(make_table, kind):
    table = make_table(seeds=1).drop(columns="trial_key")
    table["hp.attributions"] = [kind(["a"]), kind(["a", "b"])] * 4
    twice = pd.concat([table.assign(strength=1.0), table.tail(1).assign(strength=1.0)], ignore_index=True)
    assert analysis.trials_from_table(twice, sweep="s", source="t").excluded == {"duplicate trial": 1}


def test_a_failed_attempt_does_not_hide_the_completed_one(make_table):
    table = make_table(seeds=4)
    failed = table.head(1).assign(status="failed")
    trials = analysis.trials_from_table(pd.concat([failed, table], ignore_index=True), sweep="s", source="t")
    assert trials.excluded == {"failed": 1}
    assert len(trials.table) == 32


def test_trials_of_a_search_and_early_stopped_ones_are_excluded(make_table):
    table = make_table(seeds=4)
    table["hp.searcher"] = ["grid", "Random", "", None, "tpe", "optuna", *["grid"] * 26]
    table["stopped_early"] = [None, False, "false", 0, True, "True", 1, "1.0", *[0.0] * 24]
    trials = analysis.trials_from_table(table, sweep="s", source="t")
    assert trials.excluded == {"stopped early": 4}  # the search's are among them, and count once
    trials = analysis.trials_from_table(table.drop(columns="stopped_early"), sweep="s", source="t")
    assert trials.excluded == {"chosen by a search": 2}
    assert set(trials.table["hp.searcher"].fillna("")) == {"grid", "Random", ""}


def test_columns_of_numbers_hold_numbers(make_table):
    halves = (f"{SCORE}.half_2", "test_ood.n", "hp.n_test", "test_ood.faithfulness.deletion.rise")
    table = make_table(seeds=4).assign(**dict.fromkeys((*halves, "hp.note"), "0.5"))
    table[f"{SCORE}.half_2"] = ["half", np.inf, *["0.5"] * 30]
    trials = analysis.trials_from_table(table, sweep="s", source="t")
    assert {trials.table[name].dtype for name in halves} == {np.dtype(float)}
    assert trials.table[f"{SCORE}.half_2"].isna().sum() == 2
    assert trials.table["hp.note"].tolist() == ["0.5"] * 32
    assert any(f"column '{SCORE}.half_2': 1 value, taken as missing" in note for note in trials.notes)


def test_a_flag_that_is_neither_true_nor_false(make_table):
    table = make_table(seeds=4)
    table["stopped_early"] = ["perhaps", *[""] * 31]
    table["collapsed"] = [None, 3, *[True] * 30]
    trials = analysis.trials_from_table(table, sweep="s", source="t")
    assert trials.excluded == {"stopped_early is neither true nor false": 1, "collapsed is neither true nor false": 1}
    assert trials.table["collapsed"].tolist() == [True] * 30


def test_a_repeated_column_is_refused(make_table):
    table = make_table(seeds=4)
    twice = pd.concat([table, table[["method"]], table[["method", "test_ood.auc"]]], axis=1)
    with pytest.raises(analysis.AnalysisError, match="more than one column 'method', 'test_ood\\.auc'; keep"):
        analysis.trials_from_table(twice, sweep="s", source="t")


def test_an_infinite_seed_is_excluded(make_table):
    table = make_table(seeds=4).astype({"data_seed": float, "seed": float})
    table.loc[0, "data_seed"], table.loc[1, "seed"] = np.inf, -np.inf
    trials = analysis.trials_from_table(table, sweep="s", source="t")
    assert trials.excluded == {"data_seed is not a number": 1, "seed is not a number": 1}
    assert trials.table["data_seed"].dtype == trials.table["seed"].dtype == "int64"


@pytest.mark.parametrize(("column", "known"), [("status", "completed"), ("hp.searcher", "grid"), ("selection", "last")])
def test_a_categorical_column_may_have_holes(make_table, column, known):
    table = make_table(seeds=4)
    table[column] = pd.Series([known, None] * 16).astype("category")
    trials = analysis.trials_from_table(table, sweep="s", source="t")
    assert trials.excluded == ({"selection other than last": 16} if column == "selection" else {})
