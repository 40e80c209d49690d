"""The pages that are made from the code are up to date, and say what the code says."""

import dataclasses
import re

import pytest
from support.commands import ROOT

from analysis.sections import SECTIONS
from analysis.sections.per_image import PerImage
from analysis.sections.section import OTHER_WAYS
from docs import listings
from docs.__main__ import made
from docs.markdown import table
from records.columns import COLUMNS
from trainables import ATTRIBUTIONS, DATASETS, LOCALISATION, METHODS, MODELS, TrialConfig, resolve
from trainables.core.config import parse_settings
from trainables.datasets import PLACES

PAGES = made()
REFERENCE = {name: (ROOT / "docs" / "reference" / f"{name}.md").read_text() for name in listings.PAGES}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_it_is_what_the_code_gives(path):
    assert path.read_text() == PAGES[path], f"{path.relative_to(ROOT)} is stale: run `make docs`"


def test_every_registered_name_has_its_place():
    for registry, page in (
        (DATASETS, "datasets"),
        (ATTRIBUTIONS, "measures"),
        (LOCALISATION, "measures"),
        (MODELS, "measures"),
    ):
        for name in registry.builtin:
            assert re.search(rf"^##+ `{name}`$", REFERENCE[page], re.MULTILINE), f"{name} is not in {page}"


def test_every_setting_that_resolve_takes_is_listed():
    listed = set(re.findall(r"^\| `(\w+)` \|", REFERENCE["settings"] + REFERENCE["datasets"], re.MULTILINE))
    options = [
        entry.Options.model_fields
        for registry in (METHODS, DATASETS)
        for entry in map(registry.__getitem__, registry.builtin)
    ]
    options += [place.Options.model_fields for place in PLACES.values()]
    assert listed == TrialConfig.own_settings().union(*options)


def test_a_listed_default_is_one_that_resolve_takes():
    """Each default of a trial's own settings, written as on the command line, gives the default configuration."""
    own = REFERENCE["settings"].split("\n## ")[1]
    rows = re.findall(r"^\| `(\w+)` \|.*\| `([^`]+)` \|$", own, re.MULTILINE)
    assert len(rows) == len(TrialConfig.own_settings())
    assert resolve(parse_settings([f"{name}={default}" for name, default in rows])) == resolve({})


def test_every_column_is_listed():
    assert re.findall(r"^\| `([^`]+)` \|", REFERENCE["columns"], re.MULTILINE) == [column.name for column in COLUMNS]


def test_options_of_a_command():
    page = REFERENCE["commands"]
    assert (
        "| `--set KEY=VALUE` | Override a setting of all trials, e.g. --set epochs=20; may be given again |  |" in page
    )
    assert re.search(r"^\| `--storage DIR\\\|s3://…` \| .* \| `SWEEP_STORAGE`, else `sweeps` \|$", page, re.MULTILINE)
    assert "python -m trainables.datasets NAME [OPTIONS]" in page


def test_a_bar_in_a_cell_is_no_border():
    assert table(("a", "b"), [("x | y", "z")]).splitlines() == ["| a | b |", "|---|---|", r"| x \| y | z |"]


def test_every_statistic_beside_the_answer_is_explained():
    keys = [section.key for section in SECTIONS if section.part is OTHER_WAYS]
    assert re.findall(r"^In `report.json` under `(\w+)`:$", REFERENCE["statistics"], re.MULTILINE) == keys
    for field in dataclasses.fields(PerImage):
        if field.name.startswith("n_"):
            assert f"\n| `{field.name}` | " in REFERENCE["statistics"].split("under `per_image`:")[1]
