"""A sweep that runs until it is answered: the level of its looks, and its end."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy import stats
from support.layered_trials import Layer, layered

from analysis import analyse
from analysis.answer.answer import comparisons_of
from analysis.answer.combine import Comparison
from analysis.answer.looks import planned_looks, shares_of
from analysis.answer.stopping import conditional_power, decide, expected_data_seeds
from analysis.report.report import write_report
from analysis.stats.alpha_spending import nominal_level
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.trials.exclusions import trials_from_table
from analysis.trials.trials import Primary
from records import Manifest
from records.manifest import Looks

ALL_RELATED = {"seed": Layer(0.8), "setting": Layer(0.95, 0.05, 0.05)}


def trials(looks, comparisons=("seed", "given_id"), **layers):
    table = layered(**layers)
    if looks is not None:
        table = table[table["data_seed"] < looks.planned[looks.taken - 1]]
    declared = Manifest(primary=Primary(), comparisons=comparisons, looks=looks)
    return trials_from_table(table, sweep="s", source="a table", declared=declared)


def compared(of):
    return comparisons_of(of, Primary(), draw_resamples(of.table, replicates=1, seed=0), smallest_effect=0.3)


@pytest.mark.parametrize(("n", "looks"), [(5, ()), (6, (6,)), (7, (6, 7)), (12, (6, 8, 10, 12))])
def test_looks_begin_at_six_data_seeds_and_end_with_the_plan(n, looks):
    assert planned_looks(n) == looks


def test_intervals_of_a_look_have_its_level_and_those_of_other_sweeps_95_percent():
    looks = Looks((6, 8, 10), taken=2)
    at_look = trials(looks, **ALL_RELATED)
    plain = compared(replace(at_look, looks=None))
    for look, ordinary in zip(compared(at_look), plain, strict=True):
        assert look.estimate == ordinary.estimate
        assert look.ci_low < ordinary.ci_low
        assert look.joint_low <= look.ci_low
        error, df = look.standard_error, look.df
        reach = stats.t.isf(nominal_level((0.6, 0.8)) / 2, df) * error
        assert np.arctanh(look.ci_high) == pytest.approx(np.arctanh(look.estimate) + reach)


def test_a_report_between_two_looks_is_one_more_look():
    looks = Looks((6, 8, 10), taken=1)
    table = layered(**ALL_RELATED)
    on_the_way = trials_from_table(
        table[table["data_seed"] < 9], sweep="s", source="a table", declared=Manifest(looks=looks)
    )
    assert shares_of(on_the_way) == (0.6, 0.9)
    assert shares_of(trials(looks, **ALL_RELATED)) == (0.6,)


def test_a_sweep_ends_when_every_comparison_is_decided():
    decision = decide(trials(Looks((6, 8, 10), taken=1), **ALL_RELATED))
    assert [one.answer for one in decision.comparisons] == ["yes", "yes"]
    assert decision.end == "answered"


def test_a_sweep_goes_on_while_the_plan_may_decide():
    # The estimate is beyond the limit, but six data seeds leave it uncertain.
    decision = decide(trials(Looks((6, 8, 40), taken=1), ("seed",), seed=Layer(0.48), strengths=(1.0,), seeds=6))
    assert decision.end is None
    assert 0.1 < decision.powers["seed"] < 1


def test_a_sweep_ends_where_its_plan_can_decide_nothing():
    few_methods = {"methods": ("baseline", "masked", "rrr"), "method": Layer(0.9, 0.05, 0.05)}
    decision = decide(trials(Looks((6, 8, 10), taken=1), ("seed", "method"), seed=Layer(0.95), **few_methods))
    assert decision.powers == {"method": None}
    assert decision.end == "futile"


def test_the_last_look_is_the_end_whatever_it_says():
    last = decide(trials(Looks((6, 8), taken=2), ("seed",), seed=Layer(0.32), strengths=(1.0,), seeds=8))
    assert (last.end, last.comparisons[0].answer) == ("complete", "undecided")


def test_conditional_power_counts_what_more_data_seeds_lower():
    at = partial(Comparison, comparison="seed", df=7.0)
    power = partial(conditional_power, share=0.5, level=0.05, smallest_effect=0.3)
    assert power(at(), 0.0) is None
    assert power(at(estimate=0.3, standard_error=0.1), 0.0) < 0.1
    clear = at(estimate=0.6, standard_error=0.15)
    assert power(clear, 0.0) > 0.8
    assert power(at(estimate=0.6, standard_error=(0.15**2 + 0.02) ** 0.5), 0.02) < 0.6
    # The probability by simulation of the second half of the data seeds.
    rng, z = np.random.default_rng(0), np.arctanh(0.6)
    whole = (z + rng.normal(z, 0.15, 100_000)) / 2
    beyond = whole - stats.t.isf(0.025, 14) * 0.15 / np.sqrt(2) > np.arctanh(0.3)
    assert power(clear, 0.0) == pytest.approx(beyond.mean(), abs=0.005)


def test_a_clear_correlation_is_expected_to_end_a_sweep_early():
    planned, cells = planned_looks(20), [4] * 12
    clear, unrelated, close = (expected_data_seeds(planned, rho, cells, 4) for rho in (0.6, 0.0, 0.3))
    assert 6 <= clear < 12
    assert 6 <= unrelated < 12
    assert close > 19


def test_the_report_names_its_look_and_that_of_another_sweep_has_none(tmp_path):
    looked = trials(Looks((6, 8, 10), 1, "answered"), **ALL_RELATED)
    for name, given in (("look", looked), ("plain", replace(looked, looks=None))):
        write_report(analyse(given, replicates=100), tmp_path / name)
    content = json.loads((tmp_path / "look/report.json").read_text())
    assert content["look"]["look"] == 1
    assert content["look"]["planned_data_seeds"] == [6, 8, 10]
    assert content["look"]["end"] == "answered"
    page = (tmp_path / "look/report.md").read_text()
    assert "This is look 1, with 6 of 10 data seeds. The sweep ended there" in page
    assert "Lan, D. L. DeMets" in page
    plain = (tmp_path / "plain/report.json").read_text()
    assert "look" not in json.loads(plain)
    assert "DeMets" not in (tmp_path / "plain/report.md").read_text()
