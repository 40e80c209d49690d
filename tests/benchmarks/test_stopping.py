"""Looks at stored and simulated sweeps."""

from dataclasses import replace

import pytest

from benchmarks.calibration.scenarios import SCENARIOS
from benchmarks.calibration.sweeps import Scenario
from benchmarks.stopping import MANY, SIMULATED, STORED, replay, simulate, summary
from benchmarks.timing import ROOT
from records import columns

RESULTS = ROOT / "docs" / "results"


def test_the_summary_counts_ends_and_wrong_words():
    ended = {"used": 0.5, "end": "answered", "wrong_then": False, "wrong_ever": True, "missed": False}
    whole = {"used": 1.0, "end": "complete", "wrong_then": False, "wrong_ever": False, "missed": False}
    row = summary("two", [ended, whole])
    assert (row["trials used"], row["answered"], row["complete"]) == (75, 50, 50)
    assert (row["wrong at the end"], row["at any look"], row["sweeps"]) == (0, 50, 2)


@pytest.mark.slow
def test_a_stored_sweep_is_looked_at_in_the_order_of_its_data_seeds():
    looks = {name: replay(name, RESULTS) for name in STORED}
    assert [look["data seeds"].iloc[0] for look in looks.values()] == [6, 6, 6]
    for name in ("methods", "resnet18"):
        assert list(looks[name]["end"].isin(("answered", "complete"))) == [True], "six data seeds are a single look"
    assert set(looks["laptop"]) >= set(columns.COMPARISONS)
    assert looks["laptop"]["end"].iloc[-1] in ("answered", "futile", "complete")


@pytest.mark.slow
def test_words_at_any_look_are_rarely_wrong():
    by_name = {scenario.name: replace(scenario, data_seeds=(MANY,)) for scenario in SCENARIOS}
    assert set(SIMULATED) <= by_name.keys()
    at_limit = Scenario("at the limit", seed=0.31, methods=3, severities=(1.0,), shared=0.2, data_seeds=(MANY,))
    wrong = [simulate(at_limit, number).wrong_ever for number in range(40)]
    # Of 40 sweeps at a level of 5 %, 6 or more are wrong with a probability of 1.4 %.
    assert sum(wrong) < 6
