"""Filling a disk up. The fixture `small_disk` is a disk of one megabyte."""

import shutil
from contextlib import suppress
from pathlib import Path


def fill(disk: Path, but: int = 0) -> Path:
    """Fill `disk` with one file, except about `but` bytes, and return the file's path."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while shutil.disk_usage(disk).free > but:
            file.write(bytes(4096))
    assert shutil.disk_usage(disk).free <= but
    return ballast
