"""README.md: its generated table, and the places that it sends a reader to."""

import re

from support.commands import ROOT

from docs import readme
from docs.methods import in_order

README = (ROOT / "README.md").read_text()


def test_the_table_is_up_to_date():
    assert readme.table(in_order()) in README, "the table of names in README.md is stale: run `make docs`"
    assert readme.updated(README, in_order()) == README
    assert readme.table(["one"]) in readme.updated(README, ["one"])


def test_the_reading_order_leads_somewhere():
    lines = re.search(r"## Read the code\n\n(.*?)\n\n", README, re.DOTALL)[1].splitlines()
    assert len(lines) == 10
    for line in lines:
        for place in re.findall(r"`([^`]+)`", line):
            assert (ROOT / place).exists(), place
