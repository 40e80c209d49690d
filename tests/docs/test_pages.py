"""The pages: all are in the navigation, and what they link to, name and quote is there."""

import json
import re

import numpy as np
import pytest
import yaml
from support.commands import ROOT
from typer.main import get_command

import sweep
from analysis import __main__ as analysis_command

README = (ROOT / "README.md").read_text()
CONTENTS = (ROOT / "docs" / "README.md").read_text()
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs").glob("*.ipynb"),
        *(ROOT / "docs").glob("*/*.md"),
        *(ROOT / "cluster").glob("*.md"),
        *(ROOT / "k8s").rglob("*.md"),
    ]
)


def anchors(text: str) -> set[str]:
    """The names that a code host gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_contents_list_every_page_once():
    listed = re.findall(r"^- \[[^]]+\]\(([^)]+)\)", CONTENTS, re.MULTILINE)
    paths = [(ROOT / "docs" / target).resolve() for target in listed]
    assert len(set(paths)) == len(paths)
    assert {ROOT / "README.md", ROOT / "docs" / "README.md", *paths} == set(PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", page.read_text()):
        if "://" in target:
            continue
        to = (page.parent / target).resolve() if target else page
        assert to.is_file(), f"{target}: a link to a folder works on a code host and not in the site"
        if anchor:
            assert anchor in anchors(to.read_text()), f"{target}#{anchor}"


def test_the_named_tests_exist():
    table = (ROOT / "docs" / "running.md").read_text()
    named = re.findall(r"`(tests/[^`]+)`", table)
    assert len(named) >= 8
    for test in named:
        assert (ROOT / test).exists(), test


@pytest.mark.parametrize(("program", "app"), [(r"sweep\.py(?: --)?", sweep.app), ("-m analysis", analysis_command.app)])
def test_options_on_the_pages_exist(program, app):
    known = {option for one in get_command(app).params for option in one.opts} | {"--help"}
    for page in PAGES:
        for line in re.findall(rf"{program} (--[^\n`]*)", page.read_text()):
            for option in re.findall(r"(?<!\S)--[a-z][a-z-]+", line.split("#")[0]):
                assert option in known, f"{page}: {option}"


def test_make_targets_on_the_pages_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE):
            assert target in targets, f"{page}: make {target}"


def test_the_files_of_the_reading_order_exist():
    lines = re.search(r"## Read the code\n\n(.*?)\n\n", README, re.DOTALL)[1].splitlines()
    for line in lines:
        for place in re.findall(r"`([^`]+)`", line):
            assert (ROOT / place).exists(), place


def test_its_costs_are_those_of_the_report():
    text = " ".join(README.split())
    report = json.loads((ROOT / "docs/results/laptop/report.json").read_text())
    costs = {one["rule"]: one for one in report["regret"] if one["dataset"] is None}
    by_map = costs["localisation_id"]
    assert "costs {estimate:.3f} ({ci_low:.3f} to {ci_high:.3f}) of AUC under the shift".format_map(by_map) in text
    for rule, words in {
        "id_valid": "validation AUC costs {:.3f}, most of it at severity 1",
        "outside_swapped": "another image's costs {:.3f}.",
        "masked": "on masked images costs {:.3f},",
    }.items():
        assert words.format(costs[rule]["estimate"]) in text
    weak = [one for one in report["regret"] if 0 < (one["severity"] or 0) < 1]
    below = [np.mean([one["estimate"] for one in weak if one["rule"] == r]) for r in ("id_valid", "localisation_id")]
    assert "(below 1: {:.3f}, the map {:.3f})".format(*below) in text


def test_the_citation_agrees_with_the_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = (ROOT / "pyproject.toml").read_text()
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    for key, written in (("title", "name"), ("version", "version"), ("license", "license")):
        assert re.search(rf'^{written} = "(.*)"$', project, re.MULTILINE)[1] == citation[key]
    paper = re.search(r'^Paper = "(.*)"$', project, re.MULTILINE)[1]
    assert citation["references"][0]["url"] == paper
