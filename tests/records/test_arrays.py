"""Hostile npy and npz files: refused in a line, before memory is used for them, and never unpickled."""

import io
import os
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from records.arrays import ArrayError, Arrays, open_archive, read_array

VALUES = np.arange(6.0).reshape(2, 3)


class Exploit:
    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def npy(values) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=True)
    return buffer.getvalue()


def with_header(descr: str, shape: str, body: bytes = b"") -> bytes:
    """An npy file whose header says this."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + body


def npz(members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def declared(size: int) -> bytes:
    """An npz file whose directory says that its member has this size."""
    data = npz({"a.npy": npy(VALUES)}, zipfile.ZIP_STORED)
    return data.replace(struct.pack("<I", len(npy(VALUES))), struct.pack("<I", size))


@pytest.mark.parametrize(
    "values", [VALUES.astype(">f4"), np.asfortranarray(VALUES), np.array(["a", "bc"]), np.float64(1), np.empty((0, 3))]
)
def test_good_arrays_come_back(values):
    for result in (read_array(npy(values)), Arrays(npz({"a.npy": npy(values)}))["a"]):
        np.testing.assert_array_equal(result, values)
        assert result.dtype == values.dtype


BAD_ARRAYS = {
    "pickle": npy(np.array([Exploit()], dtype=object)),
    "object without a pickle": with_header("'|O'", "(2,)", bytes(16)),
    "negative": with_header("'<f8'", "(-2, -3)", bytes(48)),
    "terabytes": with_header("'<f8'", "(1000000, 1000000)", bytes(48)),
    "a GiB of nothing": with_header("'|u1'", "(32768, 32768)"),
    "more than is there": with_header("'<f8'", "(2, 4)", bytes(48)),
    "less than is there": with_header("'<f8'", "(2, 2)", bytes(48)),
    "subarrays": with_header("('<f8', (1000, 1000, 1000))", "(2, 3)"),
    "code": with_header("__import__('os').mkdir('unpickled')", "(2, 3)"),
    "deep": with_header("(" * 4000 + ")" * 4000, "(2, 3)"),
    "unknown version": b"\x93NUMPY\x09\0" + bytes(100),
    "endless header": b"\x93NUMPY\2\0\xff\xff\xff\xff{",
    "truncated": npy(VALUES)[:-1],
    "empty": b"",
}
BAD_ARCHIVES = {
    **{f"member: {name}": npz({"a.npy": data}) for name, data in BAD_ARRAYS.items()},
    "bomb": npz({"a.npy": with_header("'|u1'", "(135000000,)", bytes(135_000_000))}),
    "directory that lies": declared(2**31),
    "damaged stream": (lambda data: data[:60] + bytes(40) + data[100:])(npz({"a.npy": npy(np.arange(999))})),
    "unknown compression": npz({"a.npy": npy(VALUES)}).replace(b"\x08\0", b"\x63\0"),
    "encrypted": npz({"a.npy": npy(VALUES)}, zipfile.ZIP_STORED).replace(
        b"PK\1\2\x14\3\x14\0\0", b"PK\1\2\x14\3\x14\0\1"
    ),
    "a text": b"<html>",
}


@pytest.fixture(autouse=True)
def nothing_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.iterdir()) == []


def refused(read) -> None:
    tracemalloc.start()
    with pytest.raises(ArrayError) as caught:
        read()
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()
    assert str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_a_bad_array_is_refused(data):
    refused(lambda: read_array(data))


@pytest.mark.parametrize("data", BAD_ARCHIVES.values(), ids=BAD_ARCHIVES)
def test_a_bad_archive_is_refused(data):
    refused(lambda: dict(Arrays(data)))


def test_names_that_leave_the_folder_are_only_names():
    names = ["../../a", "/etc/passwd", "C:\\a", "\x1b[31m", "a"]
    arrays = Arrays(npz({f"{name}.npy": npy(VALUES) for name in names}))
    assert list(arrays) == names
    assert len(arrays) == 5
    assert "b" not in arrays


def test_an_archive_may_be_limited_to_its_own_size():
    stored = npz({"a": bytes(2**20)}, zipfile.ZIP_STORED)
    assert open_archive(stored, len(stored)).namelist() == ["a"]
    assert len(zlib.compress(bytes(2**20))) < 2**11
    packed = npz({"a": bytes(2**20)})
    refused(lambda: open_archive(packed, len(packed)))
