"""Every command of a benchmark in the Makefile and on the pages is valid."""

import re
from importlib import import_module

import pytest
from support.commands import ROOT
from typer import Typer
from typer.main import get_command

TEXTS = [path.read_text() for path in (ROOT / "Makefile", *(ROOT / "docs").glob("*.md"))]
COMMANDS = sorted({c.strip() for text in TEXTS for c in re.findall(r"python -m (benchmarks\.\w[^\n`#$|();]*)", text)})
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__"): path
    for path in (ROOT / "benchmarks").rglob("*.py")
    if "typer.run(main)" in path.read_text()
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_valid(command):
    module, *arguments = command.split()
    app = Typer()
    app.command()(import_module(f"{module}.__main__" if MODULES[module].stem == "__main__" else module).main)
    get_command(app).make_context(module, arguments)


def test_every_benchmark_has_a_command():
    assert {command.split()[0] for command in COMMANDS} == set(MODULES)
