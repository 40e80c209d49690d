"""README.md: its generated table, its numbers, its commands, and the places that it sends a reader to."""

import json
import re
from collections import Counter

import numpy as np
import pytest
import yaml
from support.commands import ROOT
from typer.main import get_command

import sweep
from analysis import __main__ as analysis_command
from analysis import analyse, load_file
from docs import readme
from docs.methods import in_order

README = (ROOT / "README.md").read_text()


def test_the_table_is_up_to_date():
    assert readme.table(in_order()) in README, "the table of names in README.md is stale: run `make docs`"
    assert readme.table(["one"]) in readme.updated(README, ["one"])


def test_the_reading_order_leads_somewhere():
    lines = re.search(r"## Read the code\n\n(.*?)\n\n", README, re.DOTALL)[1].splitlines()
    assert len(lines) == 10
    for line in lines:
        for place in re.findall(r"`([^`]+)`", line):
            assert (ROOT / place).exists(), place


def test_it_stays_short_and_opens_with_the_picture():
    lines = README.splitlines()
    assert len(lines) <= 120
    assert lines[4].startswith("![")
    assert (ROOT / re.search(r"\]\((.*)\)", lines[4])[1]).is_file()


def test_its_commands_exist():
    for program, app in (("python sweep.py", sweep.app), ("python -m analysis", analysis_command.app)):
        known = {option for one in get_command(app).params for option in one.opts}
        commands = [line.partition("#")[0] for line in README.splitlines() if line.startswith(program)]
        assert commands
        for command in commands:
            assert set(re.findall(r"--[a-z-]+", command)) <= known, command
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    assert {"install", "sweep", "ui", "test", "docs"} <= named <= targets


@pytest.mark.slow
def test_its_answer_is_that_of_the_records():
    """The words, correlations and costs are those of the analysis of the records that are kept."""
    result = analyse(load_file(ROOT / "docs" / "results" / "laptop" / "trials.parquet"), replicates=100)
    assert f"[{len(result.trials.table):,} trials" in README
    rows = re.findall(r"^\| two .*? \| (.*?) \| (.*?) \|$", README, re.MULTILINE)
    assert rows == [
        (one.answer, f"{one.estimate:.2f} ({one.ci_low:.2f} to {one.ci_high:.2f})".replace("-", "−"))
        for one in result.comparisons
    ]
    words = Counter(one.answer for one in result.comparisons)
    text = " ".join(README.split())
    assert words == {"yes": 1, "undecided": 1, "it depends": 2}
    assert "yes for one of four comparisons, undecided for one, and for two it depends" in text
    regret = result.results["regret"]
    costs = {one.rule: one for one in regret if one.dataset is None}
    by_map, by_validation = costs["localisation_id"], costs["id_valid"]
    assert f"costs {by_map.estimate:.3f} ({by_map.ci_low:.3f} to {by_map.ci_high:.3f}) of AUC under the shift" in text
    assert f"validation AUC costs {by_validation.estimate:.3f}, most of it at severity 1" in text
    of_validation = [(one.severity, one.estimate) for one in regret if one.rule == "id_valid" and one.severity]
    assert sum(cost for severity, cost in of_validation if severity == 1) > 0.6 * sum(cost for _, cost in of_validation)
    below = [
        np.mean([one.estimate for one in regret if one.rule == rule and 0 < (one.severity or 0) < 1])
        for rule in ("id_valid", "localisation_id")
    ]
    assert "(below 1: {:.3f}, the map {:.3f})".format(*below) in text
    assert f"another image's costs {costs['outside_swapped'].estimate:.3f}." in text
    assert f"on masked images costs {costs['masked'].estimate:.3f}," in text
    unshifted = (result.trials.table["severity"] == 0).sum()
    assert f"{unshifted:,} trials without a shift are left out" in text


def test_the_study_is_what_its_page_says():
    """One clean commit, seeds as named, epochs that selection chose."""
    place = ROOT / "docs" / "results" / "laptop"
    trials = load_file(place / "trials.parquet").table
    page = " ".join(place.with_suffix(".md").read_text().split())
    (version,) = trials["code_version"].unique()
    commit = re.search(r"All are of one commit, (\w{7}),", page)[1]
    assert re.fullmatch(rf"[\d.]+\+{commit}\w*", version)
    assert (trials["status"] == "completed").all()
    assert f"{len(trials):,} trials" in page
    assert (trials["best_epoch"] < trials["epochs"] - 1).mean() > 0.25
    trainings = trials.groupby(["dataset", "data_seed"])["seed"].nunique()
    assert trainings.groupby("dataset").size().eq(10).all()
    assert trainings.eq(2).all()
    assert "ten data seeds with two training seeds each" in page
    report = json.loads((place / "report.json").read_text())
    below = report["below_chance"]["models"]
    masked = [one for one in below if (one["method"], one["dataset"]) == ("masked", "digits_on_photos")]
    assert f"{len(below)} models are below chance on the ID test set" in page
    assert f"{len(masked)} of them `masked` on photographs" in page


def test_the_citation_agrees_with_the_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = (ROOT / "pyproject.toml").read_text()
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    for key, written in (("title", "name"), ("version", "version"), ("license", "license")):
        assert re.search(rf'^{written} = "(.*)"$', project, re.MULTILINE)[1] == citation[key]
    paper = re.search(r'^Paper = "(.*)"$', project, re.MULTILINE)[1]
    assert citation["references"][0]["url"] == paper
