"""The simulated sweeps have the declared truth, and the table compares answers with it."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.calibration import __main__ as calibration
from benchmarks.calibration.__main__ import write_page
from benchmarks.calibration.measure import NAMED, Truth, measure, measure_grid, spearman_of_normal, truths
from benchmarks.calibration.scenarios import GRID, SCENARIOS
from benchmarks.calibration.sweeps import CONTROL, OUTCOME, SCORE, Scenario, draw_cells, draw_table, related

EMPTY = "".join(f"<!-- {name}: begin -->\nold\n<!-- {name}: end -->\n" for name in ("comparisons", "halves", "grid"))
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def rng(number=0):
    return np.random.default_rng(number)


@pytest.mark.parametrize("rho", [-0.6, 0.8])
def test_scores_have_the_given_correlation(rho):
    x, y, validation = related(rng().normal(size=(3, 40_000)), rho, mediated=False)
    assert stats.spearmanr(x, y).statistic == pytest.approx(float(spearman_of_normal(rho)), abs=0.02)
    assert np.corrcoef(y, validation)[0, 1] == pytest.approx(0.5, abs=0.02)


def test_mediated_scores_share_only_validation():
    x, y, validation = related(rng().normal(size=(3, 40_000)), 0.7, mediated=True)
    matrix = np.linalg.inv(np.corrcoef([x, y, validation]))
    assert np.corrcoef(x, y)[0, 1] == pytest.approx(0.7, abs=0.02)
    assert -matrix[0, 1] / math.sqrt(matrix[0, 0] * matrix[1, 1]) == pytest.approx(0, abs=0.02)


def test_simulated_and_exact_truth_of_seeds_agree():
    scenario = Scenario("plain", seed=0.6)
    cut_nowhere = Scenario("plain", seed=0.6, floor=1e-6)
    exact, simulated = (truths(s, draw_cells(s, rng()), rng())["seed"].value for s in (scenario, cut_nowhere))
    assert exact == pytest.approx(6 / math.pi * math.asin(0.3))
    assert simulated == pytest.approx(exact, abs=0.01)


def test_truth_given_validation_of_many_settings_is_the_partial_correlation_of_a_normal_law():
    rho = {"seed": 0.6, "setting": 0.6}
    scenario = Scenario("many", **rho, sizes=(0.05, 0.02, 0.0), settings=100, methods=1, severities=(1.0,))
    matrix = np.linalg.inv([[1, 0.6, 0.3], [0.6, 1, 0.5], [0.3, 0.5, 1]])
    partial = -matrix[0, 1] / math.sqrt(matrix[0, 0] * matrix[1, 1])
    value = truths(scenario, draw_cells(scenario, rng()), rng())["given_id"].value
    assert value == pytest.approx(float(spearman_of_normal(partial)), abs=0.03)


@pytest.mark.parametrize(
    ("truth", "right"),
    [
        (Truth(0.5, frozenset({1.0})), ("yes", "same sign")),
        (Truth(-0.5, frozenset({-1.0})), ("reverse", "same sign")),
        (Truth(0.2, frozenset({-1.0, 1.0})), ("no", "signs differ")),
        (Truth(0.2, frozenset({0.0, 1.0})), ("no", "too few to say")),
        (Truth(math.nan, frozenset()), ("undecided", "too few to say")),
    ],
)
def test_right_words(truth, right):
    assert truth.right(0.3) == right


@pytest.mark.parametrize("name", ["images move both scores", "only validation AUC links them"])
def test_what_misleads_leaves_nothing_given_validation(name):
    scenario = BY_NAME[name]
    assert truths(scenario, draw_cells(scenario, rng()), rng())["given_id"].value == pytest.approx(0, abs=0.15)


def test_a_table_has_the_trials_of_the_scenario():
    scenario = Scenario("table", data_seeds=(4, 3), training_seeds=2, methods=3, settings=4)
    table = draw_table(scenario, draw_cells(scenario, rng()), rng())
    keys = ["dataset", "severity", "method", "strength", "hp.lr", "seed", "data_seed"]
    assert len(table) == len(table[keys].drop_duplicates()) == (4 + 3) * 2 * 2 * 3 * 4
    assert table[[SCORE, OUTCOME, CONTROL]].std().between(0.02, 0.2).all()


def test_a_shared_data_seed_moves_all_cells():
    scenario = Scenario("shared", shared=0.9, data_seeds=(40,), methods=2, settings=1, severities=(1.0,))
    table = draw_table(scenario, draw_cells(scenario, rng()), rng())
    by_method = table.pivot(index="data_seed", columns="method", values=OUTCOME)
    assert by_method.corr().iloc[0, 1] > 0.8


@pytest.mark.parametrize("name", ["no shift", "copied rows", "no column data_seed"])
def test_unanswerable_comparisons_are_named(name):
    assert {comparison["said"] for comparison in measure(BY_NAME[name], 0).values()} == {NAMED}


@pytest.mark.parametrize(
    ("name", "key", "answers"),
    [
        ("settings do nothing, seeds correlate", "said", {"seed": "yes", "setting": NAMED}),
        ("methods of opposite sign", "signs", dict.fromkeys(("seed", "given_id"), "signs differ")),
        ("strata of opposite sign", "signs", dict.fromkeys(("seed", "given_id"), "signs differ")),
    ],
)
def test_answers_of_a_sweep(name, key, answers):
    measured = measure(BY_NAME[name], 0)
    assert {comparison: measured[comparison][key] for comparison in answers} == answers


def test_jackknife_and_fisher_intervals_with_shared_data_seeds():
    shared = next(scenario for scenario in GRID if scenario.name == "data seeds shared by nine tenths")
    measured = [measure_grid(shared, number) for number in range(8)]
    assert sum(sweep["jackknife"] for sweep in measured) >= 7
    assert sum(sweep["fisher"] for sweep in measured) <= 6


def test_a_run_continues_the_last_one(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "BLOCK", 1)
    page, results = tmp_path / "page.md", tmp_path / "results"
    page.write_text(f"before\n{EMPTY}after\n")
    calibration.main(results, page, sweeps=2, only="no shift")
    (file,) = results.iterdir()
    _, first, second = file.read_text().split("\n")
    file.write_text(f"\n{first}\n{second[:50]}")
    calibration.main(results, page, sweeps=3, only="no shift")
    lines = file.read_text().split("\n")
    assert lines[1:4] == [first, second[:50], second]
    assert len(lines) == 5
    text = page.read_text()
    assert (text[:7], text[-6:], "old" in text) == ("before\n", "after\n", False)
    assert "| no shift | seeds | – | – | – | – | – |" in text
    assert text.count("| 100 |  |  |  | – | 3 |") == 4


def test_the_table_marks_rates_above_the_level(tmp_path):
    def sweep(covered, wrong):
        entry = {"truth": 0.5, "estimate": 0.4, "said": "no" if wrong else "yes", "wrong": wrong, "reason": None}
        entry |= {"covered": covered, "covered_jointly": True, "predicted": None, "half": "undecided"}
        entry |= {"signs": "same sign", "signs_wrong": False}
        return dict.fromkeys(("seed", "setting", "method", "given_id"), entry)

    page = tmp_path / "page.md"
    page.write_text(EMPTY)
    # 5 % + 2 sqrt(.05 × .95 / 100) is 9.4 %: 9 of 100 may be chance, 10 are not.
    few = [sweep(covered=i >= 10, wrong=i < 9) for i in range(100)]
    many = [sweep(covered=i >= 9, wrong=i < 10) for i in range(100)]
    write_page(page, {"few": few, "many": many}, {})
    lines = page.read_text().splitlines()
    assert (
        lines[3]
        == "| few | seeds | 0.50 | 0.40 | **90** | 100 | – | 91 | 9 |  |  |  | 9 of 100 | 100 |  | 0 of 100 | 100 |"
    )
    assert (
        lines[7]
        == "| many | seeds | 0.50 | 0.40 | 91 | 100 | – | 90 | 10 |  |  |  | **10 of 100** | 100 |  | 0 of 100 | 100 |"
    )
    assert "| few | seeds | 100 | 0 | 100 |" in lines
