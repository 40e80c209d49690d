"""A new statistic costs its file and one line in SECTIONS: every file of the report then has it."""

import importlib
import json
import pathlib
from dataclasses import dataclass

import pandas as pd
import pytest

import analysis
from analysis import sections
from analysis.answer.answer import Analysis
from analysis.numbers import percent
from analysis.report.report import REFERENCES
from analysis.sections.drawing import Drawing, new_figure, settings
from analysis.sections.section import OTHER_WAYS, Section
from analysis.sections.table import REASON, Table, decimals, words

REFERENCE = "Student, The probable error of a mean. Biometrika 6, 1908, 1–25."


@dataclass(frozen=True)
class AboveChance:
    """The share of trials whose outcome is above one half."""

    estimate: float | None
    n: int
    reason: str | None = None


def above_chance(table: pd.DataFrame, outcome: str) -> AboveChance:
    known = table[outcome].dropna()
    if known.max() > 1:
        return AboveChance(None, len(known), "it is no AUC")
    return AboveChance(float((known > 0.5).mean()), len(known))


def figure(analysis: Analysis, result: AboveChance) -> Drawing | None:
    if result.estimate is None:
        return None
    with settings():
        drawn = new_figure(4, 1)
        drawn.subplots().barh(0, result.estimate)
    return Drawing(drawn, "The share, drawn.", f"A bar of {result.estimate:.2f}.", title="One bar")


def table(analysis: Analysis, result: AboveChance) -> Table:
    return Table(
        caption="All trials.",
        columns=(words("of", "of", lambda row: "all trials"), decimals("share", "share", "estimate"), REASON),
        rows=(result,),
    )


ABOVE_CHANCE = Section(
    key="above_chance",
    title="Above chance",
    part=OTHER_WAYS,
    compute=lambda analysis: above_chance(analysis.trials.table, analysis.primary.outcome),
    sentence=lambda analysis, result: f"{percent(result.estimate)} of the trials are above chance.",
    figures=lambda analysis, result: [figure(analysis, result)],
    tables=lambda analysis, result: [table(analysis, result)],
    method=lambda analysis, result: {"Above chance": "An outcome above one half (Gosset 1908)."},
    reported=lambda analysis, result: "the share of trials above chance",
)


@pytest.fixture
def with_the_section(monkeypatch, no_figures):
    place = next(i for i, section in enumerate(sections.SECTIONS) if section.key == "per_image")
    known = sections.SECTIONS
    monkeypatch.setitem(REFERENCES, "Gosset 1908", REFERENCE)
    monkeypatch.setattr(sections, "SECTIONS", (*known[:place], ABOVE_CHANCE, *known[place:]))


def test_the_report_has_it_everywhere(with_the_section, make_table, tmp_path):
    table = make_table(seeds=5)
    share = float((table["test_ood.auc"] > 0.5).mean())
    analysis.write_report(analysis.analyse(table, replicates=100), tmp_path)

    content = json.loads((tmp_path / "report.json").read_text())
    assert content["above_chance"] == {"estimate": share, "n": len(table), "reason": None}
    assert content["figures"] == ["above_chance"]
    assert "; the share of trials above chance" in content["methods_paragraph"]
    html, markdown = (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()
    assert '<h3 id="above_chance">Above chance</h3>' in html
    assert "\n### Above chance\n" in markdown
    for text in (html, markdown):
        for part in ("are above chance.", "An outcome above one half (Gosset 1908).", "A bar of", REFERENCE):
            assert part in text
    assert (tmp_path / "tables/above_chance.csv").read_text() == f"of,share,reason\nall trials,{share!r},\n"
    assert r"\caption{Above chance. All trials.}" in (tmp_path / "tables/above_chance.tex").read_text()
    assert (tmp_path / "figures/above_chance.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "figures/above_chance.svg").is_file()


def test_what_it_could_not_estimate_is_missing(with_the_section, make_table, tmp_path):
    table = make_table(seeds=5)
    table["test_ood.auc"] *= 100
    analysis.write_report(analysis.analyse(table, replicates=100), tmp_path)
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["figures"] == []
    assert "“Above chance” (it is no AUC)" in content["missing"]


def test_keys_and_terms_of_sections_are_unique(make_table):
    keys = [section.key for section in sections.SECTIONS]
    assert len(set(keys)) == len(keys)
    result = analysis.analyse(make_table(seeds=5), replicates=100)
    terms = [term for s in sections.SECTIONS for term in s.method(result, result.results.get(s.key))]
    assert len(set(terms)) == len(terms)


def test_every_file_with_a_section_is_in_the_report():
    files = pathlib.Path(sections.__file__).parent.glob("*.py")
    modules = [importlib.import_module(f"analysis.sections.{path.stem}") for path in files if path.stem != "__init__"]
    own = {value.key for module in modules for value in vars(module).values() if isinstance(value, Section)}
    assert own == {section.key for section in sections.SECTIONS}
