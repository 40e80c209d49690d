"""Controls of the masks: paired by hand and by scipy, left out of everything else, and what the report says of them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import analysis
from analysis.errors import AnalysisError
from analysis.sections.mask_controls import (
    ANY_WRONG,
    BALANCED,
    NO_MASKS,
    Change,
    _sentence,
    control_name,
    mask_controls,
)
from analysis.trials.exclusions import trials_from_table
from records import columns

OUTCOME, SCORE = "test_ood.auc", "test_ood.iou.integrated_gradients"
SEEDS = 8
CONTROLS = (
    {"hp.mask_condition": "random"},
    {"hp.mask_condition": "shifted"},
    {"hp.mask_condition": "other"},
    {"hp.mask_condition": "ones"},
    {"hp.mask_fraction": 0.25},
)


@pytest.fixture(scope="module")
def right(make_table):
    table = make_table(seeds=SEEDS, severities=(0.0, 0.9, 1.0), methods=("baseline", "masked", "rrr"))
    # Settings that trials lack, and one that is a list.
    return table.assign(**{"hp.disc_iter": np.nan, "hp.note": None, "hp.attributions": [["occlusion"]] * len(table)})


@pytest.fixture(scope="module")
def table(right):
    """Each masked trial again under each control, with lower scores and some noise."""
    rng = np.random.default_rng(0)
    right = right.assign(**columns.CONTROLS)
    parts = [right, right[right["method"] == "baseline"].assign(**{"hp.mask_test": True})]
    for settings in CONTROLS:
        part = right[right["method"] != "baseline"].assign(**settings)
        part[[OUTCOME, SCORE]] += 0.01 * rng.normal(size=(len(part), 2)) - 0.1
        parts.append(part)
    controls = pd.concat(parts, ignore_index=True)
    return controls.assign(trial_key=[f"t{i}" for i in range(len(controls))])


@pytest.fixture(scope="module")
def trials(table):
    return trials_from_table(table, sweep="s", source="s")


@pytest.fixture(scope="module")
def found(trials):
    return mask_controls(trials.table, trials.controls, analysis.Primary())


def row(rows, control, **cell):
    (found,) = (r for r in rows if r.control == control and all(getattr(r, k) == v for k, v in cell.items()))
    return found


def test_controls_do_not_change_the_analysed_trials(trials, right):
    alone = trials_from_table(right.assign(**columns.CONTROLS), sweep="s", source="s")
    assert alone.controls is None
    pd.testing.assert_frame_equal(trials.table.drop(columns="trial_key"), alone.table.drop(columns="trial_key"))
    n = len(right) // 3
    assert trials.excluded == {"control of the masks": 5 * 2 * n + n}
    assert len(trials.controls) == 11 * n


@pytest.mark.parametrize("method", ["masked", "rrr"])
@pytest.mark.parametrize("column", [OUTCOME, SCORE])
def test_a_cell_is_a_paired_t_interval_over_data_seeds(found, table, method, column):
    cell = table[(table["severity"] == 1.0) & (table["method"] == method)].sort_values("data_seed")
    wrong = cell[cell["hp.mask_condition"] == "shifted"][column].to_numpy()
    own = cell[(cell["hp.mask_condition"] == "expert") & (cell["hp.mask_fraction"] == 1)][column].to_numpy()
    control = row(found.cells, "shifted masks", severity=1.0, method=method)
    change = control.outcome if column == OUTCOME else control.localisation
    assert change.estimate == pytest.approx((wrong - own).mean())
    assert change.right == pytest.approx(own.mean())
    assert (change.n, change.n_data_seeds) == (SEEDS, SEEDS)
    expected = stats.ttest_rel(wrong, own).confidence_interval(0.95)
    np.testing.assert_allclose([change.ci_low, change.ci_high], expected, atol=1e-12)


def test_overall_is_an_interval_of_means_over_the_shifted_cells(found, table):
    shifted = table[table["severity"] > 0]
    masks = shifted[shifted["method"] != "baseline"]
    own = masks[(masks["hp.mask_condition"] == "expert") & (masks["hp.mask_fraction"] == 1)]
    wrong = masks[masks["hp.mask_condition"].isin(["random", "shifted", "other"])]
    difference = wrong.groupby("data_seed")[OUTCOME].mean() - own.groupby("data_seed")[OUTCOME].mean()
    change = row(found.overall, ANY_WRONG).outcome
    assert change.estimate == pytest.approx(difference.mean())
    expected = stats.ttest_1samp(difference, 0).confidence_interval(0.95)
    np.testing.assert_allclose([change.ci_low, change.ci_high], expected, atol=1e-12)


def test_no_masks_and_balanced_data_are_compared_too(found, right):
    mean = right.groupby(["severity", "method"])[OUTCOME].mean()
    for method in ("masked", "rrr"):
        no_masks = row(found.cells, NO_MASKS, severity=0.9, method=method).outcome
        assert no_masks.estimate == pytest.approx(mean[0.9, "baseline"] - mean[0.9, method])
        balanced = row(found.cells, BALANCED, severity=1.0, method=method).outcome
        assert balanced.estimate == pytest.approx(mean[0.0, method] - mean[1.0, method])
        assert balanced.right == pytest.approx(mean[1.0, method])
    compared = {(r.control, r.severity == 0, r.method) for r in found.cells}
    assert not compared & {(BALANCED, True, "rrr"), (NO_MASKS, False, "baseline")}
    at_test = row(found.cells, "masks at test time", severity=0.9)
    assert (at_test.method, at_test.outcome.estimate) == ("baseline", 0)


@pytest.mark.parametrize(
    ("low", "high", "claim"),
    [
        (-0.12, -0.02, "what the masks show matters"),
        (-0.0099, 0.15, "what the masks show is not what helps"),
        (-0.0101, 0.15, "it cannot be said whether"),
        (None, None, "it cannot be said whether"),
    ],
)
def test_the_sentence_claims_no_more_than_the_interval(low, high, claim):
    """Wrong masks do as well only where a loss of interest is excluded."""
    no_masks = Change(estimate=-0.15, ci_low=-0.2, ci_high=-0.1)
    wrong = Change(estimate=0.0, ci_low=low, ci_high=high)
    assert claim in _sentence({NO_MASKS: no_masks, ANY_WRONG: wrong}, analysis.Primary())


def test_dilated_masks_are_right_ones_and_compared(right):
    plain = right.assign(**{"hp.mask_dilation": 0})
    grown = plain[plain["method"] == "masked"].assign(**{"hp.mask_dilation": 3})
    grown = grown.assign(trial_key=grown["trial_key"] + "-grown", **{OUTCOME: grown[OUTCOME] - 0.03})
    trials = trials_from_table(pd.concat([plain, grown], ignore_index=True), sweep="s", source="s")
    assert len(trials.table) == len(plain) + len(grown), "they stay in the answer"
    assert trials.controls is None
    found = mask_controls(trials.table, trials.table.iloc[:0], analysis.Primary())
    assert row(found.overall, "masks dilated by 3 pixels").outcome.estimate == pytest.approx(-0.03)
    assert row(found.cells, NO_MASKS, severity=1.0).outcome.n == SEEDS
    assert "it is unknown whether their content is what helps" in found.sentence


def test_controls_without_their_trial_are_counted(table):
    is_right = table["hp.mask_condition"].eq("expert") & table["hp.mask_fraction"].eq(1)
    trials = trials_from_table(table[~is_right | table["method"].ne("rrr")], sweep="s", source="s")
    result = mask_controls(trials.table, trials.controls, analysis.Primary())
    assert (result.n_controls, result.n_unpaired) == (len(trials.controls), 5 * 3 * SEEDS)
    assert {r.method for r in result.cells} == {"baseline", "masked"}


def test_records_without_the_columns_read_like_those_with_them(table, trials, tmp_path):
    names = list(columns.CONTROLS)
    older = table.astype(dict.fromkeys(names, object))
    older.loc[(table[names] == list(columns.CONTROLS.values())).all(axis=1), names] = None
    assert older["hp.mask_test"].isna().sum() == len(trials.table)
    older.to_csv(tmp_path / "older.csv", index=False)
    read = analysis.load_file(tmp_path / "older.csv")
    for name in names:
        assert read.controls[name].tolist() == trials.controls[name].tolist()
        assert (read.table[name] == columns.CONTROLS[name]).all()


def test_controls_alone_are_refused_with_the_fix(table):
    message = r"under right masks is left \(48 control of the masks\).*into the same sweep"
    with pytest.raises(AnalysisError, match=message):
        trials_from_table(table[table["hp.mask_condition"].isin(["random"])], sweep="s", source="s")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"hp.mask_condition": "ones"}, "all-ones masks"),
        ({"hp.mask_condition": "mirrored"}, "mirrored masks"),
        ({"hp.mask_condition": "random", "hp.mask_fraction": 0.125}, "random masks, on 12.5 % of the images"),
        ({"hp.mask_test": True}, "masks at test time"),
    ],
)
def test_names(settings, expected):
    assert control_name(settings) == expected
