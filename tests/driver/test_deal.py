"""The order of trials: any first part of a sweep spans its severities and methods."""

from collections import Counter
from itertools import product

import pytest

from driver.plan.make_plan import deal, diagonal
from search_spaces import SPACES
from search_spaces.space import factorial


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 4), (2, 2), (2, 4), (3, 5), (4, 6), (6, 4)])
def test_a_diagonal_has_every_pair_once_and_steps_through_both_sequences(n, m):
    pairs = diagonal(range(n), range(m))
    assert sorted(pairs) == list(product(range(n), range(m)))
    for start in range(len(pairs) - m + 1):
        # A turn to the next diagonal may repeat a value of the first sequence, never of the second.
        assert len({second for _, second in pairs[start : start + m]}) == m
    assert {first for first, _ in pairs[:n]} == set(range(n))


@pytest.mark.parametrize("name", ["smoke", "own_data", "methods"])
def test_the_first_trials_of_each_seed_have_every_severity_dataset_and_method(name):
    for seed in deal(SPACES[name]().trials):
        cells = {(s["dataset"], s["severity"], s["method"]) for s in seed}
        for place, axis in enumerate(("dataset", "severity", "method")):
            levels = {cell[place] for cell in cells}
            strata = len({cell[:2] for cell in cells})
            first = len(levels) if axis == "method" else strata
            assert {s[axis] for s in seed[:first]} == levels, axis
        assert {(s["dataset"], s["severity"], s["method"]) for s in seed[: len(cells)]} == cells


def test_a_prefix_of_a_seed_has_its_settings_in_even_shares():
    strengths = {"a": (0.0,), "b": (1.0, 2.0, 3.0, 4.0)}
    (seed,) = deal(factorial((0,), ("d",), (0.0, 0.5, 1.0), strengths))
    assert seed[0]["severity"] == 1.0
    assert [s["severity"] for s in seed[:3]] == [1.0, 0.0, 0.5], "from both ends"
    b = [s for s in seed if s["method"] == "b"]
    assert len({s["strength"] for s in b[:3]}) == 3, "no strength first in every cell"
    for n in range(3, len(b) + 1, 3):
        assert set(Counter(s["severity"] for s in b[:n]).values()) == {n // 3}


def test_nothing_is_lost_or_added_and_whole_seeds_stay_in_their_order():
    trials = SPACES["paper_seeds"]().trials
    dealt = deal(trials)
    assert [seed[0]["seed"] for seed in dealt] == list(dict.fromkeys(s["seed"] for s in trials))
    key = {repr(sorted(s.items())) for s in trials}
    assert {repr(sorted(s.items())) for seed in dealt for s in seed} == key
    assert sum(map(len, dealt)) == len(trials)
    # Presets that share a training stay together.
    assert all(one["method"] == other["method"] for one, other in zip(dealt[0][::2], dealt[0][1::2], strict=True))


def test_missing_and_invalid_severities_and_seeds_are_dealt():
    odd = [{"dataset": "d", "method": "m"}, {"dataset": "d", "method": "m", "severity": "high"}]
    assert deal(odd) == [odd]
