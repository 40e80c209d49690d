"""The files of a comparison: complete, consistent, and the same bytes every time."""

import csv
import re

import pytest
from support.report_files import Page, strict_json

import analysis
from analysis.compare.differences import compare
from analysis.report.render import escape_markdown


@pytest.fixture(scope="module")
def comparison(make_table):
    first = make_table(rho=0.8, seeds=12)
    second = make_table(rho=0.0, seeds=9, rng=1, severities=(1.0, 0.5))
    second.loc[(second["method"] == "rrr"), "test_ood.auc"] = 1.0
    return compare(*(analysis.trials_from_table(t, sweep=n, source=n) for t, n in ((first, "a|b"), (second, "<b>_2"))))


@pytest.fixture(scope="module")
def report(comparison, tmp_path_factory):
    return analysis.write_comparison(comparison, tmp_path_factory.mktemp("out") / "new").parent


def test_every_file_is_there(report):
    written = {p.relative_to(report).as_posix() for p in report.rglob("*") if p.is_file()}
    assert written == {
        *("report.html", "report.md", "report.json", "figures/comparison.png", "figures/comparison.svg"),
        *(f"tables/{name}.{kind}" for name in ("correlations", "means") for kind in ("csv", "tex")),
    }


def test_json_is_strict_and_says_what_was_computed(report, comparison):
    content = strict_json(report / "report.json")
    assert content["sentence"] == comparison.sentence
    assert content["within_cell"]["difference"] == comparison.within.difference
    assert [s["stratum"] for s in content["strata"]] == ["crosses, s = 1"]
    assert {m["column"] for m in content["means"]} == {"test_ood.auc", analysis.Primary().column}
    assert content["first"]["verdict"]["sentence"] == comparison.first_verdict.sentence
    for entry in (content["within_cell"], *content["strata"], *content["means"]):
        assert (entry["ci_low"] is None) == (entry["reason"] is not None)


def test_tables_hold_the_numbers(report, comparison):
    rows = list(csv.DictReader((report / "tables/means.csv").read_text().splitlines()))
    assert len(rows) == len(comparison.means) == 8
    for row, mean in zip(rows, comparison.means, strict=True):
        assert float(row["difference"]) == mean.difference
        assert float(row["first"]) - float(row["second"]) == pytest.approx(mean.difference)
    correlations = list(csv.DictReader((report / "tables/correlations.csv").read_text().splitlines()))
    assert float(correlations[0]["rho_first"]) == comparison.within.first.estimate


def test_html_is_well_formed_escaped_and_self_contained(report, comparison):
    text = (report / "report.html").read_text()
    page = Page(text)
    assert comparison.sentence in page.text
    assert "<b>_2" in page.text
    assert "<b>_2" not in text
    assert ["0.8" in image["alt"] for image in page.images] == [True]
    assert len(set(page.rows)) == 2  # both tables are rectangular
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_markdown_tables_are_rectangular(report, comparison):
    text = (report / "report.md").read_text()
    assert escape_markdown(comparison.sentence) in text
    for block in re.split(r"\n\n", text):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) <= 1
    assert r"ρ, a\|b" in text
    assert r"Only in a\|b: 1 stratum (crosses, s = 0)." in text


def test_a_table_without_rows_is_left_out(make_table, tmp_path):
    tables = [make_table(seeds=6, severities=(level,)) for level in (0.5, 1.0)]
    nothing_shared = compare(*(analysis.trials_from_table(t, sweep="s", source="s") for t in tables))
    folder = analysis.write_comparison(nothing_shared, tmp_path).parent
    for page in ("report.html", "report.md"):
        assert "Do the methods do equally well in both?" not in (folder / page).read_text()
