"""Tables that anyone may have written: a bad one is one line, and takes neither the memory nor the command."""

import io
import subprocess
import sys
from contextlib import suppress

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from support.commands import ROOT

import analysis
from analysis.trials.table_file import read_table

SCORE = "test_ood.iou.integrated_gradients"


def bytes_of(table, **options):
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, **options)
    return buffer.getvalue()


def varint(number, length=0):
    """A number as Parquet's metadata have it, perhaps longer than necessary."""
    digits = bytearray()
    while number or len(digits) < max(length, 1):
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits[-1] &= 0x7F
    return bytes(digits)


def with_number(data, old, new):
    """A file whose metadata say `new` instead of `old`."""
    length = int.from_bytes(data[-8:-4], "little")
    metadata, written = data[-8 - length : -8], varint(2 * old)
    assert written in metadata
    metadata = metadata.replace(written, varint(2 * new, len(written)))
    return data[: -8 - length] + metadata + len(metadata).to_bytes(4, "little") + b"PAR1"


@pytest.fixture
def whole(make_table):
    return make_table(seeds=6)


def damaged(whole):
    """Files that are no tables of trials, with a part of the message."""
    table = pa.Table.from_pandas(whole, preserve_index=False)
    data = bytes_of(table)
    runs = bytes_of(pa.table({"dataset": pa.array([0] * 70_000, pa.int8())}), write_statistics=False)
    nested = {
        "a list": pa.array([[1.0]] * len(whole)),
        "an object": pa.array([{"a": 1}] * len(whole)),
        "bytes": pa.array([b"\xff"] * len(whole)),
        "a map": pa.array([[("a", 1)]] * len(whole), pa.map_(pa.string(), pa.int64())),
    }
    wrong = {name: (bytes_of(table.append_column("mine", values)), "'mine' holds") for name, values in nested.items()}
    bad_text = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe"))
    return wrong | {
        "empty": (b"", "not a .parquet table"),
        "text": (b"dataset,method\n", "not a .parquet table"),
        "cut": (data[:-100], "not a .parquet table"),
        "only its end": (data[len(data) // 2 :], "not a .parquet table"),
        "middle overwritten": (data[:300] + bytes(len(data) - 3000) + data[300 + len(data) - 3000 :], "not a .parquet"),
        "huge length of metadata": (data[:-8] + b"\xff\xff\xff\x7fPAR1", "not a .parquet table"),
        "metadata overwritten": (data[:-2000] + b"\xff" * 1992 + data[-8:], "not a .parquet table"),
        "bad Unicode": (bytes_of(pa.table({"dataset": bad_text})), "not a .parquet table"),
        "a billion rows": (with_number(runs, 70_000, 10**9), "1,000,000,000 rows, more than the 10,000,000"),
        "fewer rows than declared": (with_number(runs, 70_000, 9_000_000), "."),
        "other columns": (bytes_of(pa.table({"a": [1]})), "missing columns 'dataset'"),
        "no rows": (bytes_of(table.slice(0, 0)), "no rows"),
        "no columns": (bytes_of(pa.table({})), "it has no columns"),
        "a repeated column": (bytes_of(table.append_column(SCORE, table[SCORE])), "more than one column"),
        "text for numbers": (bytes_of(pa.Table.from_pandas(whole.assign(severity="much"))), "severity"),
    }


NAMES = (
    *("a list", "an object", "bytes", "a map", "empty", "text", "cut", "only its end", "middle overwritten"),
    *("huge length of metadata", "metadata overwritten", "bad Unicode", "a billion rows", "fewer rows than declared"),
    *("other columns", "no rows", "no columns", "a repeated column", "text for numbers"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_or_foreign_file_is_one_line(name, whole, tmp_path):
    files = damaged(whole)
    assert set(NAMES) == set(files)
    data, message = files[name]
    path = tmp_path / "trials.parquet"
    path.write_bytes(data)
    with pytest.raises(analysis.AnalysisError) as error:
        analysis.load_file(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("place", range(12))
def test_a_changed_byte_anywhere_gives_a_table_or_one_line(place, whole, tmp_path):
    data = bytearray(bytes_of(pa.Table.from_pandas(whole, preserve_index=False)))
    for start in range(place * len(data) // 12, (place + 1) * len(data) // 12, 331):
        changed = data.copy()
        changed[start] ^= 0xFF
        (tmp_path / "trials.parquet").write_bytes(changed)
        with suppress(analysis.AnalysisError):
            analysis.load_file(tmp_path / "trials.parquet")


def test_values_that_are_no_numbers_are_taken_as_missing(whole, tmp_path):
    scores = whole[SCORE].astype(str).where(whole.index != 3, "good")
    odd = whole.assign(**{SCORE: scores, "mine": 2**70}).astype({"mine": str})
    odd.to_parquet(tmp_path / "trials.parquet")
    trials = analysis.load_file(tmp_path / "trials.parquet")
    assert len(trials.table) == len(whole)
    assert trials.table[SCORE].isna().sum() == 1
    assert any(note.startswith(f"Not a number in the column {SCORE!r}: 1 value") for note in trials.notes)


def test_a_table_with_an_index_of_its_own_keeps_its_columns(whole, tmp_path):
    whole.set_index("dataset").to_parquet(tmp_path / "trials.parquet")
    pd.testing.assert_series_equal(read_table(tmp_path / "trials.parquet")["dataset"], whole["dataset"])


READER = """
import re, sys
from pathlib import Path
import psutil
from analysis.trials import table_file

table_file.MEMORY_SHARE = 100e6 / psutil.virtual_memory().total
before = psutil.Process().memory_info().rss
try:
    table_file.read_table(sys.argv[1])
except table_file.AnalysisError as error:
    print(error)
peak = 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
assert peak < before + 150_000_000
assert len(bytes(200_000_000)) == 200_000_000, "the limit ends with the reading"
"""


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [False, True])
def test_a_small_file_that_unpacks_to_more_than_the_memory_is_refused(hidden, tmp_path):
    data = bytes_of(pa.table({"dataset": ["x" * 300_000_000]}), compression="zstd", write_statistics=False)
    if hidden:
        # Its metadata declare a kilobyte.
        group = parquet.ParquetFile(io.BytesIO(data)).metadata.row_group(0)
        for declared in {group.total_byte_size, group.column(0).total_uncompressed_size}:
            data = with_number(data, declared, 1000)
    assert len(data) < 100_000
    (tmp_path / "trials.parquet").write_bytes(data)
    # In a process of its own: this one has the memory already.
    command = [sys.executable, "-c", READER, str(tmp_path / "trials.parquet")]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "trials.parquet': it needs more than 0.1 GiB of memory" in printed
