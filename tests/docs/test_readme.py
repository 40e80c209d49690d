"""README.md names everything that is built in, and how large each space is."""

import re

import pytest
from support.commands import ROOT

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
