"""The generated pages are up to date and complete."""

import re

import pytest
from support.commands import ROOT

from analysis.sections import SECTIONS
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
def test_a_generated_page_is_up_to_date(path):
    assert path.read_text() == PAGES[path], f"{path.relative_to(ROOT)} is stale: run `make docs`"


def test_every_registered_name_is_listed():
    pages = {"datasets": DATASETS.builtin, "measures": [*ATTRIBUTIONS.builtin, *LOCALISATION.builtin, *MODELS.builtin]}
    for page, names in pages.items():
        assert set(names) <= set(re.findall(r"^##+ `(.*)`$", REFERENCE[page], re.MULTILINE))


def test_every_setting_that_resolve_takes_is_listed():
    listed = set(re.findall(r"^\| `(\w+)` \|", REFERENCE["settings"] + REFERENCE["datasets"], re.MULTILINE))
    entries = [registry[name] for registry in (METHODS, DATASETS) for name in registry.builtin]
    options = [entry.Options.model_fields for entry in (*entries, *PLACES.values())]
    assert listed == TrialConfig.own_settings().union(*options)


def test_listed_defaults_give_the_default_configuration():
    own = REFERENCE["settings"].split("\n## ")[1]
    rows = re.findall(r"^\| `(\w+)` \|.*\| `([^`]+)` \|$", own, re.MULTILINE)
    assert len(rows) == len(TrialConfig.own_settings())
    assert resolve(parse_settings([f"{name}={default}" for name, default in rows])) == resolve({})


def test_every_column_is_listed():
    assert re.findall(r"^\| `([^`]+)` \|", REFERENCE["columns"], re.MULTILINE) == [column.name for column in COLUMNS]


def test_bars_in_cells_are_escaped():
    assert table(("a", "b"), [("x | y", "z")]).splitlines() == ["| a | b |", "|---|---|", r"| x \| y | z |"]


def test_every_other_statistic_is_explained():
    keys = [section.key for section in SECTIONS if section.part is OTHER_WAYS]
    assert re.findall(r"^In `report.json` under `(\w+)`:$", REFERENCE["statistics"], re.MULTILINE) == keys
