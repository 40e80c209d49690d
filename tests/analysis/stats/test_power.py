"""The smallest detectable correlation against the values of a published table."""

import pytest

from analysis.stats.rank_correlation import error_of, minimal_detectable

# Fisher z with variance 1.06 / (n - 3), two-sided, power .8.
TABLE = {
    0.05: {10: 0.80, 20: 0.60, 30: 0.50, 50: 0.40, 60: 0.36, 100: 0.28, 300: 0.17, 1000: 0.09, 3000: 0.05},
    0.001: {10: 0.92, 20: 0.77, 30: 0.67, 50: 0.55, 60: 0.51, 100: 0.41, 300: 0.24, 1000: 0.13, 3000: 0.08},
}


@pytest.mark.parametrize("alpha", TABLE)
def test_table(alpha):
    assert {n: round(minimal_detectable(error_of(n - 3), alpha=alpha), 2) for n in TABLE[alpha]} == TABLE[alpha]


def test_too_few_trials_detect_nothing():
    assert minimal_detectable(error_of(0)) is None


def test_few_degrees_of_freedom_detect_less():
    assert minimal_detectable(0.1, df=5) > minimal_detectable(0.1, df=50) > minimal_detectable(0.1)
