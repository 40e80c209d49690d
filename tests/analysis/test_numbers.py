"""How numbers and names are written for people."""

import pytest

from analysis import numbers
from analysis.numbers import column_name, listed, name, number, stratum_name, with_interval
from analysis.stats.replicated import Estimate


def test_numbers():
    assert [number(v) for v in (0.123, -0.123, -0.001, None, float("nan"))] == ["0.12", "−0.12", "0.00", "–", "–"]
    assert [numbers.interval(-0.1, 0.2), numbers.interval(None, 0.2)] == ["−0.10 to 0.20", "–"]
    assert [numbers.p_value(v) for v in (0.0004, 0.04, None)] == ["< 0.001", "0.040", "–"]
    assert [numbers.percent(0.125, 1), numbers.percent(None)] == ["12.5\u00a0%", "–"]


def test_an_estimate_has_brackets_only_with_an_interval():
    assert with_interval(Estimate(estimate=0.5, ci_low=0.25, ci_high=0.75)) == "0.50 (0.25 to 0.75)"
    assert with_interval(Estimate(estimate=0.5), 3) == "0.500"
    assert with_interval(Estimate()) == "–"


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("test_ood.iou.integrated_gradients", "IoU of integrated gradients on the OOD test set"),
        ("test_ood.auc", "OOD test AUC"),
        ("test_ood.1-distractor_mass.grad_cam", "mass off the distractor of Grad-CAM on the OOD test set"),
        ("hp.lr", "learning rate"),
    ],
)
def test_columns(column, expected):
    assert column_name(column) == expected


def test_names():
    assert (name("integrated_gradients"), name("iou")) == ("integrated gradients", "IoU")
    places = ("folder:/data/mine/", "manifest:/data/mine/table.csv", "manifest:table.csv")
    assert [name(place) for place in places] == ["mine", "mine/table.csv", "table.csv"]
    assert (stratum_name("crosses", 0.8), stratum_name(None, None)) == ("crosses, s = 0.8", "everything")
    assert [listed(["a"]), listed(["a", "b", "c"]), listed([])] == ["a", "a, b and c", ""]
