"""Reads a table's file."""

from trainables.core.errors import ConfigurationError
from trainables.datasets.own.files import Files
from trainables.datasets.own.problems import Problems
from trainables.datasets.own.table import Row, read_table


def read_csv(files: Files, location: str, ignore_columns: str, problems: Problems, split: str | None) -> list[Row]:
    """The rows of the CSV at `location`; see `read_table`.

    Raises:
        ConfigurationError: there is no such file, or it is no text.
    """
    try:
        text = files.read(location).decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{location} is not text in UTF-8 ({error.reason}); save it as such") from None
    ignored = [name.strip() for name in ignore_columns.split(",")]
    return read_table(text, location, ignored, problems, split)
