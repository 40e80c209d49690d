"""What is printed last: the decision with its costs, and the questions with their answers."""

import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from analysis import analyse
from analysis.report.last_screen import correlated, what_to_do
from analysis.sections.head import reading

MAP = "test_id.iou.integrated_gradients"


def printed(part, width=80):
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(part)
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.fixture(scope="module")
def result(make_table):
    """Two datasets; the map is right about the order of methods, validation knows nothing."""
    table = make_table(datasets=("crosses", "digits"), severities=(1.0,), methods=("actdiff", "baseline", "rrr"))
    value = table["method"].map({"actdiff": 0.9, "baseline": 0.5, "rrr": 0.1})
    value += np.random.default_rng(0).normal(0, 0.01, len(table))
    return analyse(table.assign(**{"test_ood.auc": value, MAP: value, "valid_id.auc": 0.9}), replicates=100)


def test_the_decision_and_its_costs_are_printed(result):
    advice, certainty, _, *rows = printed(what_to_do(result), 400)
    assert advice.startswith("On these data, choose the model by its map: it costs less than ")
    costs = {rule: float(cost.split()[0]) for rule, cost, *_ in (re.split("  +", line) for line in rows[2:6])}
    assert costs["the map of unshifted images"] == 0
    assert costs["a random pick"] == pytest.approx(0.4, abs=0.02)
    assert certainty.startswith("Choosing by the map costs 0.4")
    assert re.search(r"matters on crosses \(0\.4\d less\) and digits \(0\.4\d less\)\.$", certainty)


def test_it_fits_the_terminal_and_says_which_images_are_meant(result):
    lines = [*printed(what_to_do(result)), *printed(correlated(result))]
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert "All rules see unshifted (ID) images alone." in text
    assert "These maps are of shifted (OOD) images; the costs are of choices by maps of unshifted (ID) images." in text
    assert "above 0.3; no: it is between −0.3 and 0.3; reverse: it is below −0.3; else undecided." in text


def test_the_limit_and_the_images_are_those_of_the_analysis(result):
    other = replace(
        result,
        verdict=replace(result.verdict, smallest_effect=0.2),
        primary=replace(result.primary, split="test_id"),
    )
    assert "These maps are of unshifted (ID) images. Yes: " in reading(other)
    assert "is above 0.2; no: it is between −0.2 and 0.2; reverse: it is below −0.2;" in reading(other)


def test_questions_without_a_number_have_their_reason(result):
    seed, *rest = (replace(c, ci_low=None, answer="undecided", reason="too few") for c in result.comparisons)
    assert correlated(replace(result, comparisons=(seed, *rest))) is None
    assert reading(replace(result, comparisons=(seed, *rest))) == ""
    part = replace(seed, estimate=0.5, ci_low=0.4, ci_high=0.6, answer="yes", reason=None, differ_among="methods")
    rows = printed(correlated(replace(result, comparisons=(part, *rest[1:]))), 200)[2:5]
    assert [re.split("  +", row)[1:] for row in rows] == [
        ["yes", "0.50 (0.40 to 0.60), the sign differs among methods"],
        *[["undecided", "too few"]] * 2,
    ]
