"""Tests, options and make targets named on the pages exist."""

import re

import pytest
from support.commands import ROOT
from typer.main import get_command

import sweep
from analysis import __main__ as analysis_command

PAGES = [ROOT / "README.md", *(page for folder in ("docs", "cluster", "k8s") for page in (ROOT / folder).rglob("*.md"))]


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
