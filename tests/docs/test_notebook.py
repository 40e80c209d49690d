"""docs/first_sweep.ipynb runs, and shows what it stores."""

import ast
import json
import os
import re
import subprocess
import sys

import pytest
from support.commands import ROOT

NOTEBOOK = json.loads((ROOT / "docs" / "first_sweep.ipynb").read_text())
CELLS = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
MARK = "@@@@"
TRAINED = re.compile(r"OOD AUC \d\.\d+")
"""The score of a model that the notebook trains, which differs in its last digits between machines."""


def script() -> str:
    """The notebook's code as a program that prints a mark before each cell, and the value that a cell ends with."""
    parts = []
    for source in ("".join(cell["source"]) for cell in CELLS):
        *before, last = ast.parse(source).body
        if isinstance(last, ast.Expr) and not source.rstrip().endswith(";"):
            source = f"{ast.unparse(ast.Module(before, []))}\nprint(repr({ast.unparse(last)}))"
        parts.append(f"print({MARK!r})\n{source}")
    return "\n".join(parts)


def stored(cell: dict) -> str:
    """The text that a cell shows."""
    outputs = [output for output in cell["outputs"] if "image/png" not in output.get("data", {})]
    texts = (output.get("text", output.get("data", {}).get("text/plain")) for output in outputs)
    return "".join(line for text in texts for line in text).strip()


@pytest.mark.slow
def test_it_runs_and_shows_what_it_stores():
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", script()]
    ran = subprocess.run(command, cwd=ROOT / "docs", env=environment, capture_output=True, text=True, timeout=1200)
    assert ran.returncode == 0, ran.stderr
    _, *texts = ran.stdout.split(MARK)
    shown, kept = ([TRAINED.sub("OOD AUC …", t.strip()) for t in each] for each in (texts, map(stored, CELLS)))
    assert shown == kept, "stale: run `make notebook`"


def test_it_stores_its_pictures_and_no_errors():
    outputs = [output for cell in CELLS for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert {output["output_type"] for output in outputs} == {"execute_result", "display_data"}
    assert str(ROOT) not in json.dumps(NOTEBOOK)
