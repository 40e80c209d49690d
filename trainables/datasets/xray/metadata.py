"""Tables of public X-ray sets, as torchxrayvision ships them."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from trainables.core.errors import ConfigurationError

SIDE = 1024
"""Height and width in pixels of the images on which the boxes of NIH and RSNA were drawn."""


def published_rows(name: str, columns: Sequence[str]) -> Iterator[tuple[str, *tuple[Any, ...]]]:
    """For each row of the table `name` its place (the header is row 1), then its cells of `columns`."""
    cells = _table(name, tuple(columns))[list(columns)].itertuples(index=False, name=None)
    return ((f"{name} row {number}", *row) for number, row in enumerate(cells, start=2))


@lru_cache(maxsize=8)
def _table(name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    # Importing the package would load its models and their dependencies, so only its files are looked up.
    package = find_spec("torchxrayvision")
    if package is None or not package.submodule_search_locations:
        raise ConfigurationError("the X-ray sets need the tables of torchxrayvision; pip install torchxrayvision")
    path = Path(package.submodule_search_locations[0]) / "data" / name
    if not path.is_file():
        raise ConfigurationError(f"this torchxrayvision has no table {name}; pip install 'torchxrayvision>=1.5.7'")
    return pd.read_csv(path, usecols=columns, index_col=False)
