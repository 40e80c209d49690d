"""Reads a table of trials from a .csv or .parquet file, which anyone may have written: a bad one is one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import psutil
import pyarrow as pa
from pyarrow import parquet

from analysis.errors import AnalysisError

KINDS = (".csv", ".parquet")
MOST_ROWS = 10_000_000
"""A hundred times the largest sweep."""
MEMORY_SHARE = 0.5
"""Of this machine's memory, which a .parquet file may need."""
CELL = 8
"""Bytes of a number in memory."""


def read_table(path: str | Path) -> pd.DataFrame:
    """The table in a .csv or .parquet file.

    A .parquet file may declare or unpack to far more than its size. Its metadata are checked first, and memory is
    limited while it is read.

    Raises:
        AnalysisError: the file cannot be read, holds no table or needs too much memory.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise AnalysisError(f"cannot read {str(path)!r}: its name must end in .csv or .parquet")
    if not path.is_file():
        raise AnalysisError(f"cannot read {str(path)!r}: there is no such file")
    most = int(MEMORY_SHARE * psutil.virtual_memory().total)
    try:
        with _memory_limit(most):
            return pd.read_csv(path, low_memory=False) if kind == ".csv" else _read_parquet(path, most)
    except MemoryError as error:
        raise AnalysisError(
            f"cannot read {str(path)!r}: it needs more than {most / 2**30:.1f} GiB of memory; is it a table of trials?"
        ) from error
    except (pa.ArrowException, OSError, ValueError, OverflowError, RecursionError) as error:
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise AnalysisError(f"cannot read {str(path)!r}: not a {kind} table ({reason}); write it again") from error


def _read_parquet(path: Path, most: int) -> pd.DataFrame:
    with parquet.ParquetFile(path) as file:
        metadata = file.metadata
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        rows = max(metadata.num_rows, sum(group.num_rows for group in groups))
        if rows > MOST_ROWS:
            raise ValueError(f"{rows:,} rows, more than the {MOST_ROWS:,} that are read")
        if max(CELL * rows * metadata.num_columns, sum(group.total_byte_size for group in groups)) > most:
            raise MemoryError
        for field in file.schema_arrow:
            value = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            # A column without any value has the type null.
            if not (
                pa.types.is_null(value)
                or pa.types.is_primitive(value)
                or pa.types.is_string(value)
                or pa.types.is_large_string(value)
            ):
                raise ValueError(f"column {field.name!r} holds {field.type!s:.60}, not texts, numbers or flags")
        table = file.read(use_threads=False)
        # Texts that are no Unicode would fail later.
        table.validate(full=True)
        # Without what pandas noted in the file, such as an index of its own.
        return table.to_pandas(ignore_metadata=True)


@contextmanager
def _memory_limit(size: int) -> Iterator[None]:
    """Let this process allocate at most `size` more bytes, on Linux; an allocation beyond that is a MemoryError."""
    used = getattr(psutil.Process().memory_info(), "data", None)
    if used is None:
        yield
        return
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [used + size, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
