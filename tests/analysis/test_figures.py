"""What the figures promise: one look per method, and maps shown by their upper half alone."""

import numpy as np
import pytest

from analysis.figures.gallery import heat
from analysis.figures.style import KNOWN, look
from analysis.numbers import interval, name, number, p_value


def test_a_method_looks_the_same_whichever_others_are_there():
    assert look(["rrr"])["rrr"] == look([*KNOWN, "cdep"])["rrr"]


def test_no_two_of_forty_methods_look_alike():
    looks = look([*KNOWN, *(f"m{i:02}" for i in range(33))])
    assert len(set(looks.values())) == 40


def test_heat_shows_the_upper_half():
    values = np.arange(100.0).reshape(10, 10)
    opacity = heat(values)[..., 3]
    assert (opacity > 0).sum() == 50
    assert opacity.ravel()[:50].max() == 0
    assert np.diff(opacity.ravel()[50:]).min() >= 0
    assert opacity.max() == pytest.approx(0.85)


@pytest.mark.parametrize("level", [0.0, 3.0])
def test_a_constant_map_shows_nothing(level):
    assert heat(np.full((4, 4), level))[..., 3].max() == 0


def test_a_sparse_map_shows_only_its_attribution():
    values = np.zeros((10, 10))
    values[0, 0] = 1e-3
    assert np.flatnonzero(heat(values)[..., 3]).tolist() == [0]


def test_numbers_for_people():
    assert [number(v) for v in (0.123, -0.123, -0.001, None, float("nan"))] == ["0.12", "−0.12", "0.00", "–", "–"]
    assert interval(-0.1, 0.2) == "−0.10 to 0.20"
    assert interval(None, 0.2) == "–"
    assert [p_value(v) for v in (0.0004, 0.04, None)] == ["< 0.001", "0.040", "–"]
    assert (name("integrated_gradients"), name("iou")) == ("integrated gradients", "IoU")
