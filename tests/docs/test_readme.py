"""README.md: its numbers, and the files that it names."""

import json
import re

import numpy as np
import yaml
from support.commands import ROOT

from analysis import load_file

README = (ROOT / "README.md").read_text()
LAPTOP = ROOT / "docs" / "results" / "laptop"
REPORT = json.loads((LAPTOP / "report.json").read_text())


def test_the_files_of_the_reading_order_exist():
    lines = re.search(r"## Read the code\n\n(.*?)\n\n", README, re.DOTALL)[1].splitlines()
    for line in lines:
        for place in re.findall(r"`([^`]+)`", line):
            assert (ROOT / place).exists(), place


def test_its_costs_are_those_of_the_report():
    text = " ".join(README.split())
    costs = {one["rule"]: one for one in REPORT["regret"] if one["dataset"] is None}
    assert f"Most of the {costs['id_valid']['estimate']:.3f} that validation costs is lost at severity 1" in text
    on = {(one["rule"], one["dataset"]): one["estimate"] for one in REPORT["regret"] if one["severity"] is None}
    crosses, photographs = (on["localisation_id", dataset] for dataset in ("synthetic", "digits_on_photos"))
    assert f"The map costs {crosses:.3f} on the crosses and {photographs:.3f} on the photographs." in text
    assert f"no cure on the photographs, where it costs {on['masked', 'digits_on_photos']:.3f}:" in text
    weak = [one for one in REPORT["regret"] if 0 < (one["severity"] or 0) < 1]
    below = [np.mean([one["estimate"] for one in weak if one["rule"] == r]) for r in ("id_valid", "localisation_id")]
    assert "below severity 1 validation costs {:.3f} and the map {:.3f}.".format(*below) in text


def test_the_page_of_the_study_describes_its_trials():
    trials = load_file(LAPTOP / "trials.parquet").table
    page = " ".join(LAPTOP.with_suffix(".md").read_text().split())
    assert f"[{len(trials):,} trials" in README
    assert f"{(trials['severity'] == 0).sum():,} trials without a shift do not count" in " ".join(README.split())
    (version,) = trials["code_version"].unique()
    commit = re.search(r"All are of one commit, (\w{7}),", page)[1]
    assert re.fullmatch(rf"[\d.]+\+{commit}\w*", version)
    assert (trials["status"] == "completed").all()
    assert f"{len(trials):,} trials" in page
    trainings = trials.groupby(["dataset", "data_seed"])["seed"].nunique()
    assert trainings.groupby("dataset").size().eq(10).all()
    assert trainings.eq(2).all()
    assert "ten data seeds with two training seeds each" in page
    below = REPORT["below_chance"]["models"]
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
