"""The run of a whole sweep in MLflow: what was declared, what varies, the comparisons and the methods' means."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import analysis
from driver.plan.plan import Plan, declare
from driver.upkeep import summary
from records import SweepRecords, open_storage
from search_spaces import Primary, Space

SCORE = "test_ood.iou.integrated_gradients"
SPACE = Space("two", "for a test", (), Primary(), ("seed", "method"))


@pytest.fixture(scope="module")
def table():
    """Two datasets, severities that differ between them, three methods, eight seeds."""
    rng = np.random.default_rng(1)
    rows = [
        {
            "trial_key": f"{dataset}-{severity}-{method}-{seed}",
            "status": "completed",
            "dataset": dataset,
            "severity": severity,
            "method": method,
            "strength": 1.0,
            "model": "small_cnn",
            "seed": seed,
            "data_seed": seed + 20,
            "valid_id.auc": rng.uniform(0.8, 1),
            "test_id.auc": rng.uniform(0.8, 1),
            "test_ood.auc": rng.uniform(0.4, 0.9),
            SCORE: rng.uniform(0, 0.5),
        }
        for dataset, severities in (("crosses", (0.0, 1.0)), ("digits", (0.0, 0.5)))
        for severity in severities
        for method in ("actdiff", "baseline", "rrr")
        for seed in range(8)
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def result(table):
    return analysis.analyse(table, replicates=100)


def test_the_comparisons_numbers_are_those_of_the_report(result):
    numbers, answers = summary.numbers(result), summary.answers(result)
    estimated = [c for c in result.comparisons if c.estimate is not None]
    assert {c.comparison for c in estimated} >= {"seed", "given_id"}
    for c in estimated:
        place = f"comparison/{c.comparison}"
        assert (numbers[f"{place}/rho"], numbers[f"{place}/ci_low"]) == (c.estimate, c.ci_low)
        assert numbers[f"{place}/ci_high"] == c.ci_high
        assert numbers[f"{place}/n_trials"] == c.n_trials
        assert answers[f"{place}/answer"] == c.answer
    absent = replace(result, comparisons=tuple(replace(c, estimate=None) for c in result.comparisons))
    assert not [name for name in summary.numbers(absent) if name.startswith("comparison/")]


def test_a_methods_mean_is_at_the_largest_severity_and_over_datasets(result, table):
    numbers = summary.numbers(result)
    largest = table[(table.severity == 1.0) | ((table.dataset == "digits") & (table.severity == 0.5))]
    for column, name in (("test_ood.auc", "mean/test_ood/auc"), (SCORE, "mean/test_ood/iou/integrated_gradients")):
        expected = largest.groupby(["method", "dataset"])[column].mean().groupby("method").mean()
        shown = {key.rsplit("/", 1)[1]: value for key, value in numbers.items() if key.startswith(f"{name}/")}
        assert shown == pytest.approx(expected.to_dict())


def test_what_was_declared_are_parameters_and_what_varies_tags(tmp_path, table):
    records, plan = SweepRecords(open_storage(tmp_path), "two"), Plan(SPACE, {})
    assert summary.declared(records) == {}
    declare(records, plan, "python sweep.py")
    assert summary.declared(records) == {
        "space": "two",
        "primary": f"{SCORE} against test_ood.auc",
        "comparisons": "seed, method",
    }
    assert summary.design(table.to_dict("records"), plan) == {
        "datasets": "crosses, digits",
        "methods": "actdiff, baseline, rrr",
        "severities": "0, 0.5, 1",
        "seeds": "0 to 7",
        "data_seeds": "20 to 27",
        "planned_trials": len(table),
    }


@pytest.mark.parametrize(
    ("numbers", "text"), [((), ""), ((3,), "3"), ((1, 0), "0 to 1"), ((5, 0, 1, 2, 9, 8), "0 to 2, 5, 8 to 9")]
)
def test_seeds_are_shown_as_ranges(numbers, text):
    assert summary.spans(numbers) == text
