"""The sections that ask the same question in other ways: each has words with its number, and a table."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

import analysis
from analysis.sections import SECTIONS
from analysis.sections.section import OTHER_WAYS

SCORE, OUTCOME = "test_ood.iou.integrated_gradients", "test_ood.auc"


@pytest.fixture(scope="module")
def result(make_table):
    table = make_table(rho=0.6, seeds=12, strengths=(0.1, 1.0))
    noise = np.random.default_rng(0)
    table["valid_id.auc"], table["valid_ood.auc"] = noise.random(len(table)), table[OUTCOME]
    table["test_ood.accuracy"] = table[OUTCOME] + 0.01 * (table["data_seed"] % 3)
    table["test_ood.n"] = np.where(table["seed"] == 0, np.nan, 100_000)
    return analysis.analyse(table, replicates=100)


def sentences(result):
    return {s.key: s.sentence(result, result.results[s.key]) for s in SECTIONS if s.part == OTHER_WAYS}


def tables(result):
    return [t for s in SECTIONS if s.part == OTHER_WAYS for t in s.tables(result, result.results[s.key])]


def test_every_section_has_words_with_its_number_and_a_table(result):
    words = sentences(result)
    assert list(words) == [table.name for table in tables(result)]
    found = SimpleNamespace(**result.results)
    numbers = {
        "granulated_kendall": f"Ψ = {found.granulated_kendall.estimate:.2f} (",
        "sign_error": f"{100 * found.sign_error.overall.mean:.0f}\u00a0%",
        "conditional_mutual_information": f"{100 * found.conditional_mutual_information.estimate:.1f}\u00a0%",
    }
    for name, number in numbers.items():
        assert number.replace("-", "−") in words[name], name
        assert not re.search(r"None|nan|\.\.", words[name])
    assert "16 trials were left out for lack of a score or of a known number of test images" in words["sign_error"]


def test_undefined_estimates_say_so(make_table):
    table = make_table(seeds=3, severities=(1.0,), methods=("rrr",)).drop(columns="test_id.auc")
    result = analysis.analyse(table, replicates=100)
    words = sentences(result)
    for name in ("granulated_kendall", "sign_error"):
        assert words[name].startswith("Not estimated: "), words[name]
    for table in tables(result):
        assert all(len(row) == len(table.headings) == len(table.fields) for row in table.rows)
        assert table.rows


def test_without_an_interval_the_words_say_why(make_table):
    words = sentences(analysis.analyse(make_table(seeds=5), replicates=100))
    assert "There is no interval: fewer than 10 data seeds on a dataset." in words["granulated_kendall"]
