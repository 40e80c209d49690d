"""`python -m docs.notebook` runs docs/first_sweep.ipynb and stores what its cells show; `make notebook` does.

Needs the packages of the extra `docs`.
"""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent / "first_sweep.ipynb"


def run(path: Path) -> None:
    """Run a notebook in its folder and write it back, without what its libraries warn of and without times."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, resources={"metadata": {"path": str(path.parent)}}, record_timing=False).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.write(notebook, path)


if __name__ == "__main__":
    run(NOTEBOOK)
