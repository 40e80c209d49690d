"""The tables of the studies, from reports and trials with known values."""

import pandas as pd

from docs import studies
from docs.studies import OUTCOME, SCORE

BOUNDS = {"prediction_low": -0.2, "prediction_high": 0.004}
COMPARISON = {"comparison": "seed", "answer": "no", "estimate": -0.001, "ci_low": -0.12, "ci_high": 0.0}
MISSING = {"new_method_positive": None, "auc_per_tenth": None, "generality": "same sign", "differ_among": None}


def cells(table: str) -> list[list[str]]:
    """The rows of a Markdown table, without its head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_zero_has_no_sign_and_missing_values_are_empty():
    (row,) = cells(studies.answer({"comparisons": [COMPARISON | BOUNDS | MISSING]}))
    assert row == ["seeds alone", "**no**", "same sign", "0.00 (−0.12 to 0.00)", "−0.20 to 0.00", "", ""]
    differ = COMPARISON | BOUNDS | MISSING | {"generality": "signs differ", "differ_among": "methods"}
    assert cells(studies.answer({"comparisons": [differ]}))[0][2] == "signs differ (among methods)"
    no_interval = COMPARISON | {"ci_low": None, "ci_high": None}
    assert cells(studies.pairs({"comparisons": [no_interval]}))[0][-1] == "0.00"


def test_datasets_have_the_names_of_the_pages_in_the_decision():
    said = {"advice": "Do it.", "certainty": "Matters on digits on photos, hardly on synthetic.", "costs": "None."}
    expected = "**Do it.** Matters on photographs, hardly on crosses.\n\nNone."
    assert studies.decision({"decision": said}) == expected


def test_single_trainings_are_listed_beside_the_comparisons():
    values = iter((0.6, 0.5, 0.4, 0.3))
    one, two, *single = ({"estimate": next(values), "ci_low": 0.1, "ci_high": 0.9} for _ in range(4))
    compared = [one | {"comparison": "setting"}, two | {"comparison": "given_id"}]
    rows = cells(studies.single_trainings({"comparisons": compared, "single_trainings": single}))
    assert [row[1:] for row in rows] == [
        [f"{v} (0.10 to 0.90)" for v in pair] for pair in (("0.60", "0.50"), ("0.40", "0.30"))
    ]


def test_scores_are_listed_with_the_map_for_each_comparison():
    by_map, by_probe = (
        {"comparison": "seed", "estimate": value, "ci_low": None, "ci_high": None} for value in (0.2, 0.9)
    )
    scores = [
        {"column": "test_ood.iou.grad_cam", "comparisons": [by_map]},
        {"column": "test_id.auc_outside_zeroed", "comparisons": [by_probe]},
    ]
    written = studies.predictors({"comparisons": [by_map], "predictors": scores})
    assert [row[-1] for row in cells(written)] == ["0.20", "0.90"]


def test_pairs_of_trainings_have_a_row_for_each_kind_of_images_and_distance():
    share = {"dataset": None, "method": None, "estimate": 0.6, "ci_low": 0.5, "ci_high": 0.7, "n": 1000}
    scores = {"test_ood.iou.grad_cam": 0.6, "valid_id.auc": 0.4}
    every = [
        share | {"images": images, "apart": apart, "score": score, "estimate": value}
        for images in ("same", "other")
        for apart in (0.0, 0.01)
        for score, value in scores.items()
    ]
    of_a_method = share | {"images": "same", "apart": 0.0, "score": "valid_id.auc", "method": "rrr", "estimate": 0.99}
    rows = cells(studies.trainings({"same_images": [*every, of_a_method]}))
    assert len(rows) == 4
    assert ["same", "at least 0.01 apart", "0.60 (0.50 to 0.70)", "0.40 (0.50 to 0.70)", "1,000"] in rows


def test_chosen_strengths_are_listed_with_their_costs():
    choice = {"dataset": "synthetic", "method": "rrr", "outcome": 0.5, "strength": 10.0, "estimate": 0.0}
    other = {"method": "actdiff", "outcome": 0.9, "strength": 0.1}
    by_map = {"rule": "localisation_id", "strength": 1000.0, "estimate": 0.25}
    choices = [
        choice | {"rule": "oracle"},
        choice | by_map,
        choice | {"rule": "random", "strength": None, "estimate": 0.1},
        choice | other | {"rule": "oracle"},
        choice | other | by_map | {"estimate": 0.05},
        choice | other | {"rule": "random", "strength": None, "estimate": None},
    ]
    assert cells(studies.strengths({"strength_choices": choices})) == [
        ["crosses", "`rrr`", "10: 0.50", "1000: 0.250", "0.100"],
        ["crosses", "`actdiff`", "0.1: 0.90", "1000: 0.050", ""],
        ["mean cost", "", "", "0.150", ""],
    ]


def test_costs_are_listed_overall_and_for_each_stratum_with_a_shift():
    cost = {"rule": "id_valid", "dataset": None, "severity": None, "estimate": 0.25, "ci_low": 0.2, "ci_high": 0.3}
    cost |= {"saved": 0.1, "saved_low": -0.05, "saved_high": 0.25}
    in_strata = [cost | {"dataset": "synthetic", "severity": s, "estimate": s / 2} for s in (0.0, 0.5, 1.0)]
    written = studies.choices({"regret": [cost, *in_strata, cost | {"rule": "masked", "estimate": None}]})
    assert written.splitlines()[0].endswith("| crosses, s = 0.5 | crosses, s = 1 |")
    assert [row[1:] for row in cells(written)] == [
        ["0.250 (0.200 to 0.300)", "0.100 (−0.050 to 0.250)", "0.250", "0.500"]
    ]


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
