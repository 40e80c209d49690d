"""The tables of the studies that are computed from trials, by hand.

Those of the numbers in a report are on the pages, which test_reference.py makes again.
"""

import pandas as pd

from docs import studies
from docs.studies import OUTCOME, SCORE


def cells(table: str) -> list[list[str]]:
    """The rows of a Markdown table, without its head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_trials_at_the_largest_severity_count_in_the_band_of_their_map():
    rows = [("synthetic", 1.0, 0.1, 0.0), ("synthetic", 1.0, 0.2, 0.5), ("synthetic", 1.0, 0.25, 0.7)]
    rows += [("synthetic", 0.9, 0.1, 1.0), ("digits_on_photos", 0.8, 0.6, 0.9)]
    bands = cells(studies.bands(pd.DataFrame(rows, columns=["dataset", "severity", SCORE, OUTCOME])))
    assert bands[0] == ["below 0.2", "0", "", "1", "0.00, 0.00 to 0.00"]
    assert bands[1] == ["0.2 to 0.3", "0", "", "2", "0.60, 0.52 to 0.68"]
    assert bands[5:] == [["0.6 and above", "1", "0.90, 0.90 to 0.90", "0", ""]]


def test_selected_epochs_are_counted_from_one():
    trials = pd.DataFrame({"dataset": "synthetic", "hp.lr": [0.1] * 4 + [1.0], "best_epoch": [0, 2, 2, 2, 5]})
    written = studies.epochs(trials).replace("\u00a0", " ")
    assert written.splitlines()[0] == "| selected epoch | learning rate | 1 | 3 | 6 |"
    assert cells(written) == [["crosses", "0.1", "25 %", "75 %", "0 %"], ["crosses", "1", "0 %", "0 %", "100 %"]]


def test_learning_rates_and_the_best_strengths_are_compared_only_under_the_shift():
    rows = [(0.1, 0.0, 0.9, 0.9), (0.1, 1.0, 0.2, 0.4), (0.1, 1.0, 0.4, 0.6), (1.0, 1.0, 0.5, 0.7)]
    trials = pd.DataFrame(rows, columns=["hp.lr", "severity", OUTCOME, SCORE]).assign(dataset="synthetic")
    assert cells(studies.rates(trials)) == [["0.1", "0.30 / 0.50"], ["1", "0.50 / 0.70"]]
    by_strength = trials.assign(method="rrr", strength=trials["hp.lr"])
    trials = pd.concat([by_strength, by_strength.assign(method="baseline", strength=0.0)], ignore_index=True)
    assert cells(studies.means(trials)) == [["`baseline`", "0.37 / 0.57"], ["`rrr`", "0.50 / 0.70 (1)"]]


def test_costs_are_relative_to_the_best_of_the_remaining_methods():
    models = {"masked": (1.0, 0.1), "shuffled": (0.7, 0.2), "rrr": (0.6, 0.3), "baseline": (0.2, 0.0)}
    rows = [(method, seed, *both) for method, both in models.items() for seed in range(6)]
    trials = pd.DataFrame(rows, columns=["method", "data_seed", OUTCOME, SCORE])
    trials = trials.assign(dataset="synthetic", severity=1.0, **{"test_id.iou.integrated_gradients": trials[SCORE]})
    assert cells(studies.candidates(trials))[0][1:] == ["0.400", "0.100", "0.000"]


def test_settings_are_ranked_by_their_maps_with_and_without_a_shift():
    rows = [(strength, 1.0, strength, strength) for strength in (1.0, 2.0, 3.0, 4.0)]
    rows += [(strength, 0.0, 0.5, -strength) for strength in (1.0, 2.0, 3.0, 4.0)]
    trials = pd.DataFrame(rows, columns=["strength", "severity", OUTCOME, SCORE])
    trials = trials.assign(dataset="synthetic", method="rrr", **{"hp.lr": 0.1})
    assert cells(studies.unshifted(trials)) == [["crosses, s = 1", "1.00", "−1.00"]]


def test_two_networks_are_compared_in_the_configurations_of_both():
    names = ["method", "strength", "severity", "hp.lr", OUTCOME, SCORE]
    large = [("rrr", 1.0, 1.0, 0.1, 0.9, 0.5), ("rrr", 1.0, 1.0, 0.1, 0.7, 0.3), ("rrr", 1.0, 0.5, 0.1, 1.0, 0.6)]
    small = [("rrr", 1.0, 1.0, 0.1, 0.2, 0.4), ("rrr", 1.0, 1.0, 9.9, 0.0, 0.0), ("rrr", 1.0, 0.5, 0.1, 0.3, 0.1)]
    large.append(("actdiff", 1.0, 1.0, 0.1, 0.0, 0.0))
    trials, others = (pd.DataFrame(rows, columns=names).assign(dataset="synthetic") for rows in (large, small))
    written = studies.networks(trials.assign(model="large"), others.assign(model="small"))
    assert written.splitlines()[0].endswith("| large, s = 0.5 | small, s = 0.5 | large, s = 1 | small, s = 1 |")
    assert cells(written) == [["`rrr`", "1", "1.00 / 0.60", "0.30 / 0.10", "0.80 / 0.40", "0.20 / 0.40"]]
