"""What a test needs of the machine that it runs on."""

import os

import pytest


def need(why_not: str | None) -> None:
    """Skip the test if `why_not` says why it cannot run here; fail it if SWEEP_REQUIRE_ALL is set."""
    if why_not:
        (pytest.fail if os.environ.get("SWEEP_REQUIRE_ALL") else pytest.skip)(why_not)
