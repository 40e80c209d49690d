"""Where pooled and within-cell correlations do not say the same."""

import pytest

from analysis.answer.entry import Correlation
from analysis.sections.scores import disagreements


def entry(scope, estimate, low=None, high=None, stratum=None, statistic="spearman"):
    names = ("test_ood", "iou", "occlusion", "test_ood.auc", scope, statistic, stratum, None, None, None)
    return Correlation(*names, estimate, low, high, 100, 10, 0, 0.5)


@pytest.mark.parametrize(
    ("within", "pooled", "kind"),
    [
        ((0.3, 0.1, 0.5), (-0.3, -0.5, -0.1), "sign"),
        ((0.3, 0.1, 0.5), (-0.1, -0.3, 0.09), "sign"),
        ((0.3, 0.1, 0.5), (-0.1, -0.3, 0.1), None),
        ((0.12, -0.1, 0.3), (-0.01, -0.2, 0.2), None),  # signs that chance alone gives
        ((0.3,), (-0.1,), None),  # without intervals
        ((0.1, -0.1, 0.3), (0.6, 0.4, 0.7), "size"),
        ((0.1, -0.1, 0.45), (0.6, 0.4, 0.7), None),  # the intervals meet
        ((0.0, -0.1, 0.1), (-0.05, -0.08, -0.02), None),  # zero has no sign
        ((None,), (0.6, 0.4, 0.7), None),
    ],
)
def test_signs_and_intervals(within, pooled, kind):
    found = disagreements([entry("pooled", *pooled), entry("within_cell", *within)])
    assert [d.kind for d in found] == ([kind] if kind else [])


def test_only_the_whole_table_and_rho_are_compared():
    grid = [
        entry("pooled", 0.6, 0.4, 0.7),
        entry("within_cell", 0.5, 0.3, 0.6),
        entry("within_cell", -0.5, -0.6, -0.4, stratum="d, s = 1"),
        entry("pooled", -0.6, -0.7, -0.4, statistic="kendall_tau_b"),
    ]
    assert disagreements(grid) == ()
