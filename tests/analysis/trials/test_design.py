"""Axes, points and pairs of configurations, on tables small enough to list."""

import itertools

import numpy as np
import pandas as pd
import pytest

from analysis.trials.design import axis_points, design_of, n_pairs_within, pairs_within


def rows(*settings, **fixed):
    """One trial per setting, seeds numbered through."""
    base = {"dataset": "d", "severity": 1.0, "method": "rrr", **fixed}
    return pd.DataFrame([base | s | {"seed": i, "data_seed": i} for i, s in enumerate(settings)])


def differing(table, axis):
    """Pairs of trials (as positions) whose points share a cell, from the points themselves."""
    points = axis_points(design_of(table), axis)
    n = len(table)
    return {
        (i, j)
        for i, j in itertools.combinations(range(n), 2)
        if points.point[i] != points.point[j] and points.cell[points.point[i]] == points.cell[points.point[j]]
    }


def test_axes_are_the_settings_that_vary():
    table = rows(
        {"hp.lr": 0.1, "strength": 1.0, "hp.batch_size": 32, "hp.searcher": "grid"},
        {"hp.lr": 0.2, "strength": 1.0, "hp.batch_size": 32, "hp.searcher": "random"},
        {"hp.lr": 0.1, "strength": 2.0, "hp.batch_size": 32, "severity": 0.5},
    )
    assert design_of(table).axes == ("severity", "strength", "hp.lr"), "nor is the searcher an axis"


def test_settings_determined_by_method_or_dataset_are_no_axes():
    table = rows(
        {"method": "adversarial", "hp.disc_width": 128.0, "hp.classes": np.nan},
        {"method": "baseline", "hp.disc_width": np.nan, "hp.classes": np.nan},
        {"method": "baseline", "dataset": "digits", "hp.disc_width": np.nan, "hp.classes": 2.0},
        {"method": "adversarial", "dataset": "digits", "hp.disc_width": 128.0, "hp.classes": 2.0},
    )
    assert design_of(table).axes == ("method",)


def test_lists_and_missing_values_are_levels():
    table = rows({"hp.sizes": [1, 2]}, {"hp.sizes": [1, 3]}, {"hp.sizes": None})
    assert differing(table, "hp.sizes") == {(0, 1), (0, 2), (1, 2)}


def test_points_differ_in_the_axis_alone():
    table = rows(
        {"severity": 0.0, "hp.lr": 1},
        {"severity": 1.0, "hp.lr": 1},
        {"severity": 1.0, "hp.lr": 2},
        {"severity": 1.0, "hp.lr": 2},  # a second seed of the same configuration
        {"severity": 0.0, "hp.lr": 1, "dataset": "e"},
    )
    assert differing(table, "severity") == {(0, 1)}
    assert differing(table, "hp.lr") == {(1, 2), (1, 3)}


def test_strength_is_compared_within_its_method_and_methods_over_their_strengths():
    table = rows(
        {"method": "baseline", "strength": 0.0},
        {"method": "rrr", "strength": 1.0},
        {"method": "rrr", "strength": 10.0},
        {"method": "gradmask", "strength": 10.0},
    )
    assert differing(table, "strength") == {(1, 2)}
    assert differing(table, "method") == {(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)}
    assert len(np.unique(design_of(table).configurations())) == 4


def test_a_hyperparameter_that_some_method_lacks_is_nested():
    table = rows(
        {"method": "baseline", "hp.disc_iter": np.nan},
        {"method": "adversarial", "hp.disc_iter": 1.0},
        {"method": "adversarial", "hp.disc_iter": 2.0},
    )
    assert differing(table, "hp.disc_iter") == {(1, 2)}
    assert differing(table, "method") == {(0, 1), (0, 2)}


@pytest.mark.parametrize("cell", [[], [0], [0, 0, 0, 1, 2, 2], [0, 1, 2], [3, 3, 3, 3]])
def test_pairs_are_all_pairs_of_a_cell(cell):
    cell = np.asarray(cell, dtype=np.intp)
    first, second = pairs_within(cell)
    expected = [(i, j) for i, j in itertools.combinations(range(len(cell)), 2) if cell[i] == cell[j]]
    assert sorted(zip(first, second, strict=True)) == expected
    assert n_pairs_within(cell) == len(expected)


NUMBERS, TEXTS, OTHERS = [0.1, 10.0, np.nan, 2.0], ["b", "a", None, "b"], ([True, False] * 2, [[2], [1, 5], [2], None])


@pytest.mark.parametrize("values", [NUMBERS, TEXTS, *OTHERS])
def test_row_order_does_not_change_codes(values):
    table = rows(*({"hp.x": value} for value in values))
    codes = design_of(table).codes["hp.x"]
    for order in itertools.permutations(range(4)):
        assert design_of(table.iloc[list(order)]).codes["hp.x"].tolist() == codes[list(order)].tolist()
