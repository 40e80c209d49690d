"""The smallest detectable correlation against the values of a published table."""

import pytest

from analysis.stats.power import minimal_detectable, minimal_detectable_from_error, minimal_detectable_of

# Fisher z with variance 1.06 / (n - 3), two-sided, power .8.
TABLE = {
    0.05: {10: 0.80, 20: 0.60, 30: 0.50, 50: 0.40, 60: 0.36, 100: 0.28, 300: 0.17, 1000: 0.09, 3000: 0.05},
    0.001: {10: 0.92, 20: 0.77, 30: 0.67, 50: 0.55, 60: 0.51, 100: 0.41, 300: 0.24, 1000: 0.13, 3000: 0.08},
}


@pytest.mark.parametrize("alpha", TABLE)
def test_table(alpha):
    computed = {n: round(minimal_detectable_of(n, alpha=alpha), 2) for n in TABLE[alpha]}
    assert computed == TABLE[alpha]


def test_too_few_trials_detect_nothing():
    assert minimal_detectable_of(3) is None
    assert minimal_detectable(0.0) is None


def test_error_and_weight_agree():
    assert minimal_detectable_from_error((1.06 / 97) ** 0.5) == pytest.approx(minimal_detectable_of(100))
