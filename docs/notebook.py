"""Run docs/first_sweep.ipynb and store its outputs: `python -m docs.notebook`, with the extra `docs` installed."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent / "first_sweep.ipynb"

if __name__ == "__main__":
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, resources={"metadata": {"path": str(NOTEBOOK.parent)}}, record_timing=False).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            # Without the warnings of libraries.
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.write(notebook, NOTEBOOK)
