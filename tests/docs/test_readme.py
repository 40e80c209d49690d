"""README.md names everything that is built in, with the size of each space."""

import re

import pytest
from support.commands import ROOT

from docs import readme
from docs.methods import in_order
from search_spaces import SPACES
from trainables import ATTRIBUTIONS, DATASETS, LOCALISATION, METHODS, MODELS
from trainables.saliency.faithfulness import FAITHFULNESS
from trainables.saliency.localisation import TUNED

README = (ROOT / "README.md").read_text()
ROWS = {
    "[methods]": METHODS.builtin,
    "models": MODELS.builtin,
    "[datasets]": DATASETS.builtin,
    "[attributions]": ATTRIBUTIONS.builtin,
    "[localisation metrics]": {**LOCALISATION.builtin, **TUNED},
    "[faithfulness]": FAITHFULNESS,
    "spaces": SPACES,
}


def row(start: str) -> str:
    (found,) = (line for line in README.splitlines() if line.startswith(f"| {start}"))
    return found


@pytest.mark.parametrize("start", ROWS)
def test_every_name_is_in_its_row(start):
    missing = {name for name in ROWS[start] if f"`{name}`" not in row(start)}
    assert not missing, f"README.md does not name {', '.join(sorted(missing))} in the row {start}"


def test_every_space_is_as_large_as_it_says():
    told = {}
    for names, numbers in re.findall(r"((?:`\w+`(?: and )?)+) \(([\d,]+(?: and [\d,]+)*) trials", row("spaces")):
        sizes = [int(number.replace(",", "")) for number in numbers.split(" and ")]
        told |= dict(zip(re.findall(r"\w+", names.replace(" and ", " ")), sizes, strict=True))
    spaces = {name: space() for name, space in SPACES.items()}
    assert told == {name: len(s.trials) * (s.search.trials if s.search else 1) for name, s in spaces.items()}


def test_the_table_is_up_to_date():
    assert readme.table(in_order()) in README, "the table of names in README.md is stale: run `make docs`"
    assert readme.updated(README, in_order()) == README
    assert readme.table(["one"]) in readme.updated(README, ["one"])
