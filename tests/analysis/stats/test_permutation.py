"""The permutation test against scipy's and against loops, and which trials it keeps together."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.stats.permutation import exchanges, permutation_p, permuted_z


def balanced(cells, seeds, places=1):
    rows = [(c, g, s) for c in range(cells) for g in range(seeds) for s in range(places)]
    frame = pd.DataFrame(rows, columns=["cell", "data_seed", "strength"])
    return frame, frame["cell"].to_numpy(), frame["data_seed"].to_numpy()


@pytest.mark.slow
def test_in_one_cell_it_is_scipys_permutation_test():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 7))
    frame, cell, data_seed = balanced(1, 7)
    possible = exchanges(cell, data_seed, [frame["strength"]])
    observed, permuted = permuted_z(x[None], y, cell, [np.array([0])], possible, permutations=20_000, seed=1)
    assert math.tanh(observed[0, 0]) == pytest.approx(stats.spearmanr(x, y).statistic)
    exact = stats.permutation_test(
        (x,), lambda a: stats.spearmanr(a, y).statistic, permutation_type="pairings", n_resamples=np.inf
    )
    assert permutation_p(observed[0, 0], permuted[0, 0]) == pytest.approx(exact.pvalue, abs=0.015)


def test_each_permutation_is_the_correlation_of_the_exchanged_table():
    rng = np.random.default_rng(2)
    frame, cell, data_seed = balanced(3, 6, places=2)
    x, y = rng.normal(size=(2, 36)), rng.normal(size=36)
    x[0, cell == 1] = 0.5  # this score is constant in one cell
    possible = exchanges(cell, data_seed, [frame["strength"]])
    groups = [np.array([0, 1, 2]), np.array([1]), np.array([2])]
    _, permuted = permuted_z(x, y, cell, groups, possible, permutations=30, seed=3)
    (source,) = possible.draw(30, 3)
    for p in range(30):
        for score in range(2):
            z = [
                np.nan
                if score == 0 and c == 1
                else math.atanh(stats.spearmanr(x[score, source[p]][cell == c], y[cell == c]).statistic)
                for c in range(3)
            ]
            assert permuted[score, 0, p] == pytest.approx(np.nanmean(z))
            assert permuted[score, 1, p] == pytest.approx(z[1], nan_ok=True)
            assert permuted[score, 2, p] == pytest.approx(z[2])


def test_data_seeds_move_whole_and_places_alike():
    frame, cell, data_seed = balanced(3, 5, places=3)
    (source,) = exchanges(cell, data_seed, [frame["strength"]]).draw(200, 0)
    place = frame["strength"].to_numpy()
    assert (cell[source] == cell).all()
    moved_seeds = data_seed[source].reshape(200, 3, 5, 3)  # permutation, cell, data seed, place
    assert (moved_seeds == moved_seeds[:, :1, :, :1]).all()
    assert len(np.unique(moved_seeds[:, 0, :, 0], axis=0)) > 60  # of 120 orders
    moved_places = place[source].reshape(200, 3, 5, 3)
    assert (moved_places == moved_places[:, :1, :1]).all()
    assert len(np.unique(moved_places[:, 0, 0], axis=0)) == 6
    assert (np.sort(source, axis=1) == np.arange(45)).all()


def test_trainings_of_one_configuration_move_together():
    frame, cell, data_seed = balanced(2, 3, places=6)
    configuration = frame["strength"].to_numpy() // 2  # three configurations with two trainings each
    (source,) = exchanges(cell, data_seed, [configuration]).draw(300, 0)
    moved = configuration[source].reshape(300, 2, 3, 3, 2)  # permutation, cell, data seed, configuration, training
    assert (moved == moved[:, :1, :1, :, :1]).all()
    assert len(np.unique(moved[:, 0, 0, :, 0], axis=0)) == 6
    assert (np.sort(source, axis=1) == np.arange(36)).all()


def test_configurations_with_other_numbers_of_trainings_keep_their_place():
    frame, cell, data_seed = balanced(1, 4, places=3)
    configuration = np.minimum(frame["strength"].to_numpy(), 1)  # one training of the first, two of the second
    possible = exchanges(cell, data_seed, [configuration])
    (source,) = possible.draw(50, 0)
    assert (configuration[source] == configuration).all()
    assert (data_seed[source] != data_seed).any()
    configuration[-3:] = (0, 0, 1)  # another number of trainings: no longer alike
    (source,) = exchanges(cell, data_seed, [configuration]).draw(50, 0)
    assert (source[:, -3:] == np.arange(9, 12)).all()


def rejections(kinds, draw, cell):
    """How many of 120 samples without correlation the test rejects at .05, for each kind of exchange."""
    counts = np.zeros(len(kinds))
    for repeat in range(120):
        x, y = draw(), draw()
        for i, kind in enumerate(kinds):
            cells = [np.unique(cell)]
            observed, permuted = permuted_z(x[None], y, cell, cells, kind, permutations=199, seed=repeat)
            counts[i] += permutation_p(observed[0, 0], permuted[0, 0]) <= 0.05
    return counts


def test_it_holds_its_level_where_settings_do_something_and_are_trained_twice():
    rng = np.random.default_rng(5)
    frame, cell, data_seed = balanced(1, 6, places=10)
    configuration = frame["strength"].to_numpy() // 2
    # The second as if each training were a configuration.
    kinds = [exchanges(cell, data_seed, [settings]) for settings in (configuration, frame["strength"])]
    together, apart = rejections(kinds, lambda: rng.normal(size=5)[configuration] + 0.3 * rng.normal(size=60), cell)
    assert together <= 12  # P(more than 12 of 120 | .05) is 0.7 %
    assert apart > 15


def test_a_data_seed_with_other_trials_keeps_its_scores():
    frame, _, _ = balanced(2, 5)
    frame = frame[~((frame["cell"] == 1) & (frame["data_seed"] == 4))]  # the last one of an unfinished sweep
    cell, data_seed = frame["cell"].to_numpy(), frame["data_seed"].to_numpy()
    possible = exchanges(cell, data_seed, [frame["strength"]])
    (source,) = possible.draw(50, 0)
    assert (source[:, data_seed == 4] == np.flatnonzero(data_seed == 4)).all()
    assert (source != np.arange(9)).any()


def test_too_few_trials_can_change_places():
    frame, cell, data_seed = balanced(3, 1)
    assert not exchanges(cell, data_seed, [frame["strength"]]).enough
    frame, cell, data_seed = balanced(3, 1, places=2)
    assert exchanges(cell, data_seed, [frame["strength"]]).enough
    assert not exchanges(cell[:0], data_seed[:0]).enough


def test_data_seeds_that_are_all_different_leave_too_little():
    frame, cell, data_seed = balanced(6, 10)
    assert exchanges(cell, data_seed, [frame["strength"]]).enough
    for n_odd, enough in ((5, True), (6, False)):  # with n_odd data seeds that each lack another set of cells
        odd = [(c, g) for g in range(n_odd) for c in range(6) if (g + 1) >> c & 1]
        gone = pd.MultiIndex.from_frame(frame[["cell", "data_seed"]]).isin(odd)
        remaining = frame[~gone].reset_index(drop=True)
        possible = exchanges(remaining["cell"].to_numpy(), remaining["data_seed"].to_numpy())
        movable = 6 * (10 - n_odd)
        assert possible.enough == (movable >= len(remaining) / 2) == enough


def test_it_holds_its_level_where_trials_share_their_data_seed_and_single_trials_would_not():
    frame, cell, data_seed = balanced(6, 12)
    # The second as if each trial had another data seed.
    kinds = [exchanges(cell, data_seed, [frame["strength"]]), exchanges(cell, np.arange(72))]
    rng = np.random.default_rng(4)
    whole, broken = rejections(kinds, lambda: np.tile(rng.normal(size=12), 6) + 0.3 * rng.normal(size=72), cell)
    assert whole <= 12  # P(more than 12 of 120 | .05) is 0.7 %
    assert broken > 25
