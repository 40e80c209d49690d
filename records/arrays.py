"""Arrays from bytes that may be damaged or hostile: sizes are checked before memory is used, nothing is unpickled."""

import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

LARGEST, LARGEST_ARCHIVE = 2**27, 2**30
"""Most bytes of one array, and of all arrays of an archive; a trial keeps 8 images of at most 1024 x 1024 pixels."""


class ArrayError(ValueError):
    """Bytes from which no array can be read; the message says why."""


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ArrayError:
        raise
    except Exception as error:  # damaged bytes can raise anything in zipfile and numpy
        raise ArrayError((str(error).strip().splitlines() or [type(error).__name__])[0]) from error


def read_array(data: bytes, largest: int = LARGEST) -> np.ndarray:
    """Read an npy file. Raises ArrayError."""
    with _explained():
        file = io.BytesIO(data)
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
        size, present = math.prod(shape) * dtype.itemsize, len(data) - file.tell()
        if size > largest:
            raise ArrayError(f"has {size / 2**20:,.0f} MiB; at most {largest / 2**20:,.0f} MiB are read")
        if dtype.hasobject or min(shape, default=1) < 0 or size != present:
            raise ArrayError(f"shape {shape} of {dtype} needs {size} bytes, {present} are there")
        return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))


def open_archive(data: bytes, largest: int) -> zipfile.ZipFile:
    """Open a zip file that holds at most `largest` bytes after decompression. Raises ArrayError."""
    with _explained():
        archive = zipfile.ZipFile(io.BytesIO(data))
        if (size := sum(member.file_size for member in archive.infolist())) > largest:
            raise ArrayError(f"holds {size / 2**20:,.0f} MiB; at most {largest / 2**20:,.0f} MiB are read")
        return archive


class Arrays(Mapping[str, np.ndarray]):
    """The arrays of an npz file by name, each read when it is looked up. Raises ArrayError."""

    def __init__(self, data: bytes):
        self._archive = open_archive(data, LARGEST_ARCHIVE)
        self._members = {member.filename.removesuffix(".npy"): member for member in self._archive.infolist()}

    def __getitem__(self, name: str) -> np.ndarray:
        member = self._members[name]
        with _explained():
            if member.file_size > LARGEST + np.lib.format.BUFFER_SIZE:
                raise ArrayError(f"{name} has {member.file_size / 2**20:,.0f} MiB")
            return read_array(self._archive.read(member))

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)
