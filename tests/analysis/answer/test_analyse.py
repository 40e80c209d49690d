"""The grid and the answer on tables whose answer is known."""

import math
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import analysis
from analysis.answer.answer import answer
from analysis.answer.correlations import within_cells
from analysis.sections.section import plain
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.stats.rank_correlation import combine_cells, rank_correlation
from analysis.trials.exclusions import trials_from_table
from records import Manifest

SCORE = "test_ood.iou.integrated_gradients"


def only(result, scope, statistic="spearman", **where):
    return result.find(scope, statistic, **where)


def comparison(result, name):
    (entry,) = (c for c in result.comparisons if c.comparison == name)
    return entry


@pytest.mark.parametrize("statistic", ["spearman", "kendall_tau_b"])
def test_estimates_are_those_of_the_parts(make_table, statistic):
    table = make_table(strengths=(0.1, 1.0))
    result = answer(table, replicates=100)
    samples = {
        key: rank_correlation(part[SCORE].to_numpy(), part["test_ood.auc"].to_numpy(), statistic)
        for key, part in table.groupby(["dataset", "severity", "method"])
    }
    for (dataset, severity, method), sample in samples.items():
        cell = only(result, "cell", statistic, dataset=dataset, severity=severity, method=method)
        assert cell.estimate == pytest.approx(sample.estimate)
        assert (cell.n, cell.n_clusters) == (24, 12)
    assert only(result, "within_cell", statistic).estimate == pytest.approx(
        combine_cells(list(samples.values()), statistic).estimate
    )
    part = table[table["severity"] == 1.0]
    stratum = only(result, "stratum", statistic, dataset="crosses", severity=1.0)
    expected = rank_correlation(part[SCORE].to_numpy(), part["test_ood.auc"].to_numpy(), statistic)
    assert stratum.estimate == pytest.approx(expected.estimate)
    means = part.groupby("method")[[SCORE, "test_ood.auc"]].mean()
    between = only(result, "between_methods", statistic, dataset="crosses", severity=1.0)
    method = "spearman" if statistic == "spearman" else "kendall"
    assert between.estimate == pytest.approx(means[SCORE].corr(means["test_ood.auc"], method=method))
    assert between.n == 4


def test_a_perfect_correlation_is_clipped_and_noted(make_table):
    table = make_table()
    table["test_ood.auc"] = table[SCORE]
    result = answer(table, replicates=100)
    within = only(result, "within_cell")
    assert within.estimate == pytest.approx(0.999)
    assert within.n_clipped == 8
    assert "8 cells of the primary had a correlation beyond ±0.999" in " ".join(result.notes)


def test_pooling_reverses_the_sign(make_table):
    # Within each method better maps go with better outcomes; methods with better maps have worse ones.
    result = analysis.analyse(make_table(rho=0.8, step=0.1), replicates=200)
    assert only(result, "pooled").estimate < -0.5
    assert only(result, "within_cell").estimate > 0.5
    assert only(result, "between_methods").estimate == pytest.approx(-1)
    assert comparison(result, "seed").answer == "yes"
    # Four methods in an order that nothing upsets, but too few to speak for others.
    assert comparison(result, "method").estimate == pytest.approx(-1)
    assert comparison(result, "method").reason == "4 methods are compared, fewer than 5"
    (disagreement,) = result.results["disagreements"]
    assert disagreement.pooled < 0 < disagreement.within_cell


def test_constant_cells_are_undefined_counted_and_left_out(make_table):
    table = make_table()
    table.loc[table["method"] == "masked", "test_ood.auc"] = 1.0
    table.loc[(table["method"] == "rrr") & (table["severity"] == 1.0), SCORE] = 0.0
    result = answer(table, replicates=100)
    cell = only(result, "cell", dataset="crosses", severity=0.0, method="masked")
    assert (cell.estimate, cell.ci_low, cell.interval, cell.reason) == (None, None, None, "constant outcome")
    other = only(result, "cell", dataset="crosses", severity=1.0, method="rrr")
    assert other.reason == "constant localisation"
    within = only(result, "within_cell")
    assert (within.n_cells, within.n_degenerate, within.n) == (5, 3, 60)
    assert within.estimate is not None


def test_all_outcomes_constant_is_undecided_with_the_reason(make_table):
    result = answer(make_table().assign(**{"test_ood.auc": 1.0}), replicates=100)
    assert result.verdict.answer == "undecided"
    assert only(result, "within_cell").reason == "none of the 8 cells has a correlation (8: constant outcome)"
    assert only(result, "between_methods").reason is not None
    assert result.power.within_cell is None


def test_missing_values_are_dropped_per_correlation_and_counted(make_table):
    table = make_table(columns=(SCORE, "test_ood.pointing.grad_cam"))
    table.loc[:6, SCORE] = np.nan  # seven seeds of the first cell
    table.loc[7, "test_ood.auc"] = np.nan
    result = answer(table, replicates=100)
    cell = only(result, "cell", dataset="crosses", severity=0.0, method="baseline")
    assert (cell.n, cell.n_missing, cell.n_clusters) == (4, 8, 4)
    assert cell.interval == "fisher_z"  # four data seeds are left, and no two trials share one
    assert only(result, "within_cell").interval == "cluster_jackknife"
    other = next(c for c in result.correlations if c.metric == "pointing" and c.scope == "pooled")
    assert other.n_missing == 1
    assert "8 trials had no outcome or no score of the primary" in " ".join(result.notes)


def test_few_data_seeds_have_an_interval_only_where_trials_share_none(make_table):
    result = answer(make_table(seeds=5), replicates=100)
    within = only(result, "within_cell")
    assert (within.interval, within.ci_low, within.p_value) == (None, None, None)
    assert within.interval_reason == "fewer than 6 data seeds on a dataset, and trials share them"
    assert result.verdict.sentence.startswith("Undecided: no dataset with a shift has more than 5 data seeds; ")
    cell = only(result, "cell", dataset="crosses", severity=0.0, method="masked")
    assert cell.interval == "fisher_z"
    reach = math.atanh(cell.ci_high) - math.atanh(cell.estimate)
    assert reach == pytest.approx(1.959964 * math.sqrt(1.06 / 2), abs=1e-6)
    assert "fewer than 6 data seeds (5 on crosses)" in " ".join(result.notes)
    assert result.power.within_cell_clustered is None


def test_one_method_and_one_seed(make_table):
    one_method = answer(make_table(methods=("baseline",)), replicates=100)
    assert only(one_method, "between_methods").reason == "0 methods, fewer than 3"
    assert only(one_method, "between_methods", dataset="crosses", severity=0.0).reason == "1 method, fewer than 3"
    assert only(one_method, "within_cell").estimate is not None
    one_seed = answer(make_table(seeds=1), replicates=100)
    assert only(one_seed, "cell", dataset="crosses", severity=0.0, method="rrr").reason == "1 trial, fewer than 4"
    assert one_seed.verdict.answer == "undecided"


def test_missing_cells_are_named(make_table):
    table = make_table()
    gone = (table["method"] == "rrr") & (table["severity"] == 1.0)
    result = answer(table[~gone], replicates=100)
    assert any("No trial in 1 cell of the grid: rrr on crosses at severity 1" in m for m in result.trials.missing)
    assert only(result, "within_cell").n_cells == 7


def test_p_values_are_adjusted_within_scope_and_statistic(make_table):
    result = answer(make_table(), replicates=200)
    cells = [c for c in result.correlations if (c.scope, c.statistic) == ("cell", "spearman")]
    assert [c.p_adjusted for c in cells] == pytest.approx(stats.false_discovery_control([c.p_value for c in cells]))
    assert only(result, "within_cell").p_adjusted is None  # the primary
    assert only(result, "within_cell", "kendall_tau_b").p_adjusted is not None


def test_the_same_seed_gives_the_same_analysis(make_table):
    first, again, other = (answer(make_table(seeds=11), replicates=150, seed=s) for s in (3, 3, 4))
    assert first.correlations == again.correlations
    assert only(other, "within_cell").ci_low == only(first, "within_cell").ci_low  # nothing is drawn for it


def test_without_the_default_primary_the_first_localisation_column_stands_in(make_table):
    table = make_table(seeds=6, columns=("test_id.pointing.grad_cam", "test_ood.energy.occlusion"))
    table.insert(0, "test_ood.auc.std", table["test_ood.auc"])  # three parts, as a localisation score has
    result = answer(table, replicates=100)
    assert (result.primary.column, result.stands_in) == ("test_id.pointing.grad_cam", True)
    assert any(f"no column {SCORE!r}" in n and "'test_id.pointing.grad_cam', stands in" in n for n in result.notes)
    assert {c.metric for c in result.correlations} == {"pointing", "energy"}
    declared = Manifest(primary=analysis.Primary())
    trials = trials_from_table(table, sweep="s", source="t", declared=declared, free_primary=False)
    result = answer(trials, replicates=100)
    assert (result.verdict.answer, result.primary.column) == ("undecided", SCORE)
    assert SCORE in result.verdict.sentence
    assert result.correlations, "the rest of the grid is still there"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"smallest_effect": 0}, "bad smallest effect 0: .*between 0 and 1, such as 0.3"),
        ({"smallest_effect": 1}, "bad smallest effect 1: "),
        ({"replicates": 99}, "replicates 99: give at least 100, .*2000"),
    ],
)
def test_bad_arguments(make_table, arguments, message):
    with pytest.raises(analysis.AnalysisError, match=message):
        answer(make_table(seeds=4), **arguments)


def test_the_id_score_is_a_reference_over_all_strata_and_in_each(make_table):
    table = make_table()
    table["test_id.auc"] = table["test_ood.auc"].where(table["severity"] == 0, -table["test_ood.auc"])
    overall, *strata = answer(table, replicates=100).reference
    assert (overall.split, overall.metric, overall.attribution, overall.stratum) == ("test_id", "auc", "", None)
    assert {e.severity: e.estimate for e in strata} == {0.0: pytest.approx(0.999), 1.0: pytest.approx(-0.999)}
    assert answer(table.drop(columns="test_id.auc"), replicates=100).reference == ()


def test_cells_with_few_data_seeds_each_still_enter_the_combined_interval(make_table):
    table = make_table(seeds=8, severities=(1.0,), methods=("baseline", "rrr"))
    early = (table["method"] == "baseline") & (table["data_seed"] < 5)
    late = (table["method"] == "rrr") & (table["data_seed"] >= 3)
    result = answer(table[early | late], replicates=200)
    cell = only(result, "cell", dataset="crosses", severity=1.0, method="rrr")
    assert (cell.interval, cell.n_clusters) == ("fisher_z", 5)
    within = only(result, "within_cell")
    assert (within.interval, within.n_clusters) == ("cluster_jackknife", 8)
    assert within.ci_low < within.estimate < within.ci_high


def test_p_values_by_permutation_are_given_within_cells(make_table):
    table = make_table(rho=0.9, columns=(SCORE, "test_id.pointing.grad_cam"))
    table["test_id.pointing.grad_cam"] = np.random.default_rng(0).normal(size=len(table))
    result = answer(table, replicates=199)
    primary = only(result, "within_cell")
    assert primary.p_permutation == 1 / 200
    stratum = only(result, "within_cell", dataset="crosses", severity=1.0)
    assert stratum.p_permutation == 1 / 200
    (other,) = (
        c
        for c in result.correlations
        if c.metric == "pointing" and c.scope == "within_cell" and c.stratum is None and c.statistic == "spearman"
    )
    assert other.p_permutation > 0.05
    assert only(result, "pooled").p_permutation is None
    assert only(result, "within_cell", "kendall_tau_b").p_permutation is None


def trained_twice(table):
    """Each trial under two training seeds, both other than its data seed."""
    twins = [table.assign(seed=table["data_seed"] + 100 * k, trial_key=f"{k}-" + table["trial_key"]) for k in (1, 2)]
    return pd.concat(twins, ignore_index=True)


def test_trainings_of_one_configuration_change_places_together(make_table):
    """Strength alone moves both scores: of its 3! orders two correlate perfectly, of 6! of single trainings 2 · 2!³."""
    table = trained_twice(make_table(seeds=6, methods=("rrr",), severities=(1.0,), strengths=(0.1, 1.0, 10.0)))
    table[SCORE] = table["test_ood.auc"] = np.log10(table["strength"])
    resamples = draw_resamples(table, replicates=600, seed=0)
    entry = within_cells(table, SCORE, "test_ood.auc", resamples, seed=0)
    assert entry.p_permutation == pytest.approx(1 / 3, abs=0.06)  # 3 standard errors; 1 / 45 of single trainings


def test_row_order_does_not_matter(make_table):
    table = trained_twice(make_table(seeds=6, strengths=(0.1, 1.0, 10.0), severities=(0.5, 1.0)))
    rng = np.random.default_rng(0)
    for name in (SCORE, "test_ood.auc", "test_id.auc", "valid_id.auc"):
        table[name] = table.get(name, 0.9) + 0.01 * rng.normal(size=len(table))
    table["test_ood.accuracy"], table["test_ood.n"] = table["test_ood.auc"], 1000
    shuffled = table.sample(frac=1, random_state=1)
    first, second = (analysis.analyse(rows, replicates=100) for rows in (table, shuffled))
    for key in ("conditional_mutual_information", "regret", "granulated_kendall", "sign_error"):
        assert_alike(plain(first.results[key]), plain(second.results[key]), key)
    for one, other in zip(first.correlations + first.reference, second.correlations + second.reference, strict=True):
        assert_alike(asdict(one), asdict(other), str(one.score))


def assert_alike(one, other, where):
    """Equal, numbers to 1e-6."""
    if isinstance(one, dict | list | tuple):
        assert len(one) == len(other), where
        pairs = ((key, one[key], other[key]) for key in (one if isinstance(one, dict) else range(len(one))))
        for key, a, b in pairs:
            assert_alike(a, b, f"{where}.{key}")
    else:
        assert one == (pytest.approx(other, abs=1e-6, nan_ok=True) if isinstance(one, float) else other), where
