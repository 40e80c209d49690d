"""Requirements of tests on the machine."""

import os

import pytest


def need(why_not: str | None) -> None:
    """Skip the test if `why_not` gives a reason; fail it if SWEEP_REQUIRE_ALL is set."""
    if why_not:
        (pytest.fail if os.environ.get("SWEEP_REQUIRE_ALL") else pytest.skip)(why_not)
