"""Two sweeps compared: against scipy's paired and unpaired tests, closed forms and tables whose answer is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import analysis
from analysis.compare.differences import Overlap, compare
from records import Manifest

SCORE, OUTCOME = analysis.Primary().column, "test_ood.auc"


@pytest.fixture
def make(make_table):
    def trials(name="a", **settings):
        return analysis.trials_from_table(make_table(**settings), sweep=name, source=name)

    return trials


def cell_mean(result, column, **where):
    (entry,) = (
        m for m in result.means if m.column == column and all(getattr(m, key) == value for key, value in where.items())
    )
    return entry


def test_sweeps_with_different_truths_differ(make):
    result = compare(make("a", rho=0.8, seeds=20), make("b", rho=0.0, seeds=20, rng=1))
    within = result.within
    assert within.difference == pytest.approx(math.atanh(within.first.estimate) - math.atanh(within.second.estimate))
    assert 0 < within.ci_low < within.difference < within.ci_high
    assert within.p_value < 0.001
    assert within.n_shared == 20
    assert result.sentence.startswith("They differ: the correlation of maps with performance within cells is 0.8")
    assert "2 of 2 strata and " in result.sentence
    assert "is the one with the better map better? Yes: 0.7" in result.first_verdict.sentence
    assert result.second_verdict.answer == "undecided"


def test_sweeps_with_one_truth_do_not(make):
    result = compare(make("a", rho=0.3, seeds=20), make("b", rho=0.3, seeds=20, rng=1))
    assert result.within.ci_low < 0 < result.within.ci_high
    assert result.sentence.startswith("No difference is seen")
    assert "0 of 2 strata and 0 of 16 cell means differ" in result.sentence


def test_each_side_is_its_own_analysis(make):
    a, b = make("a", rho=0.5), make("b", rho=0.2, rng=3)
    result = compare(a, b)
    for trials, entry in ((a, result.within.first), (b, result.within.second)):
        whole = analysis.analyse(trials, replicates=100).find("within_cell")
        assert (entry.estimate, entry.ci_low, entry.n) == (whole.estimate, whole.ci_low, whole.n)
        assert entry.standard_error == pytest.approx(whole.standard_error)


def test_a_cells_mean_paired_by_data_seed_is_the_paired_t_test(make):
    a, b = make("a"), make("b", rng=9)
    b.table[OUTCOME] = a.table[OUTCOME] + 0.002 * np.random.default_rng(0).normal(0.4, 1, len(b.table))
    entry = cell_mean(compare(a, b), OUTCOME, severity=1.0, method="rrr")
    x, y = (t.table.loc[(t.table["severity"] == 1.0) & (t.table["method"] == "rrr"), OUTCOME] for t in (a, b))
    exact = stats.ttest_rel(x.to_numpy(), y.to_numpy())
    assert (entry.difference, entry.p_value) == (pytest.approx(x.mean() - y.mean()), pytest.approx(exact.pvalue))
    assert (entry.ci_low, entry.ci_high) == pytest.approx(tuple(exact.confidence_interval()))
    assert (entry.first, entry.second, entry.n_shared) == (pytest.approx(x.mean()), pytest.approx(y.mean()), 12)


def test_a_cells_mean_without_common_data_seeds_is_welchs_test(make):
    a, b = make("a", seeds=9), make("b", rng=9, seeds=14)
    b.table["data_seed"] += 100
    b.table[OUTCOME] = 3 * b.table[OUTCOME]
    entry = cell_mean(compare(a, b), OUTCOME, severity=0.0, method="masked")
    x, y = (t.table.loc[(t.table["severity"] == 0.0) & (t.table["method"] == "masked"), OUTCOME] for t in (a, b))
    exact = stats.ttest_ind(x.to_numpy(), y.to_numpy(), equal_var=False)
    assert entry.p_value == pytest.approx(exact.pvalue)
    assert (entry.ci_low, entry.ci_high) == pytest.approx(tuple(exact.confidence_interval()))
    assert entry.n_shared == 0


def test_without_common_data_seeds_the_variances_add(make):
    a, b = make("a", seeds=10), make("b", rng=2, seeds=15)
    b.table["data_seed"] += 100
    result = compare(a, b).within
    error = math.hypot(result.first.standard_error, result.second.standard_error)
    v, w = result.first.standard_error**2, result.second.standard_error**2
    df = (v + w) ** 2 / (v**2 / 9 + w**2 / 14)
    assert result.ci_high - result.difference == pytest.approx(stats.t.ppf(0.975, df) * error)
    assert result.p_value == pytest.approx(2 * stats.t.sf(abs(result.difference) / error, df))


def test_the_same_sweep_twice(make):
    result = compare(make("a"), make("a"))
    assert result.overlap == Overlap("trial_key", 96, 0, 0, 96)
    assert (result.within.difference, result.within.ci_low) == (0, None)
    assert result.within.reason == "no data seed makes a difference"


def test_overlap_by_key_and_by_configuration(make):
    a, b = make("a", seeds=8), make("b", seeds=10)
    b.table.loc[b.table["method"] == "rrr", OUTCOME] += 0.1
    result = compare(a, b).overlap
    assert (result.by, result.n_both, result.n_first_only, result.n_second_only) == ("trial_key", 64, 0, 16)
    both = a.table.merge(b.table, on="trial_key")
    same = (both[f"{OUTCOME}_x"] == both[f"{OUTCOME}_y"]) & (both[f"{SCORE}_x"] == both[f"{SCORE}_y"])
    assert result.n_equal == same.sum()
    without = analysis.trials_from_table(b.table.drop(columns="trial_key"), sweep="b", source="b")
    assert compare(a, without).overlap == replace(result, by="configuration")


@pytest.mark.parametrize(
    ("one", "other", "n_both"),
    [
        ({"hp.batch_size": 16}, {"hp.batch_size": 16.0}, 64),
        ({"hp.batch_size": 16}, {"hp.batch_size": 32}, 0),
        ({"hp.lr": 0.1}, {}, 0),
        ({}, {"hp.lr": np.nan}, 64),
        ({"hp.mask_fraction": 1.0, "hp.mask_test": False, "hp.mask_condition": "expert"}, {}, 64),
    ],
)
def test_trials_are_the_same_if_all_settings_are(make_table, one, other, n_both):
    table = make_table(seeds=8).drop(columns="trial_key")
    sides = [analysis.trials_from_table(table.assign(**settings), sweep="s", source="s") for settings in (one, other)]
    assert compare(*sides).overlap == Overlap("configuration", n_both, 64 - n_both, 64 - n_both, n_both)


def test_what_only_one_of_them_has_is_named(make):
    result = compare(make("a", severities=(0.0, 0.5)), make("b", severities=(0.5, 1.0), methods=("baseline", "rrr")))
    assert [d.stratum for d in result.strata] == ["crosses, s = 0.5"]
    assert {(m.severity, m.method) for m in result.means} == {(0.5, "baseline"), (0.5, "rrr")}
    assert result.only_in_one == (
        "Only in a: 1 stratum (crosses, s = 0).",
        "Only in a: 2 methods (ActDiff; masked).",
        "Only in b: 1 stratum (crosses, s = 1).",
    )


def test_too_little_for_an_interval(make):
    result = compare(make("a", seeds=5), make("b", seeds=20))
    assert result.within.difference is not None
    assert result.within.ci_low is None
    assert "without an interval of the difference (fewer than 6 data seeds" in result.sentence
    assert {m.reason for m in result.means} == {"fewer than 6 data seeds on a dataset"}
    # One trial a data seed has an interval of its own, and no influences to subtract.
    single = {"seeds": 5, "methods": ("rrr",), "severities": (1.0,)}
    within = compare(make("a", **single), make("b", **single, rng=1)).within
    assert (within.first.interval, within.reason) == ("fisher_z", "fewer than 6 data seeds on a dataset")
    constant = make("b")
    constant.table[OUTCOME] = 1.0
    result = compare(make("a"), constant)
    assert result.sentence.startswith("The correlation of maps with performance cannot be compared: none of the 8")


def test_primaries(make, make_table):
    grad_cam = "test_id.pointing.grad_cam"
    a = make("a", columns=(SCORE, grad_cam))
    b = make("b", columns=(grad_cam,), rng=1)
    result = compare(a, b)
    assert result.primary.column == grad_cam
    assert f"Not both have the column {SCORE!r}" in result.notes[0]
    with pytest.raises(analysis.AnalysisError, match="no localisation column in common; the first has test_ood"):
        compare(make("a"), b)
    table = make_table(columns=(SCORE, grad_cam))
    primaries = analysis.Primary("test_id", "pointing", "grad_cam"), analysis.Primary()
    declared, other = (
        analysis.trials_from_table(table, sweep="s", source="s", declared=Manifest(primary=p)) for p in primaries
    )
    result = compare(declared, other)
    assert result.primary.column == grad_cam
    assert "The two declare different primaries" in result.notes[0]
    with pytest.raises(analysis.AnalysisError, match="bad smallest effect 3"):
        compare(declared, other, smallest_effect=3)
