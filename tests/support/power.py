"""A disk whose power can be cut. The fixture `breakable_disk` makes one."""

import fcntl
import os
import subprocess
from contextlib import suppress
from pathlib import Path

SHUT_DOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN of Linux, which stops an ext4 file system as a power failure would."""
WITHOUT_FLUSH = (2).to_bytes(4, "little")
"""What is neither on the disk nor in its journal is lost."""


class BreakableDisk:
    """A new ext4 file system in a file, mounted at `path`. Raises OSError where that is not permitted."""

    def __init__(self, folder: Path, megabytes: int = 64):
        self.image, self.path = folder / "disk.img", folder / "breakable"
        self.path.mkdir()
        with self.image.open("wb") as file:
            file.truncate(megabytes << 20)
        _run("mkfs.ext4", "-q", "-F", str(self.image))
        # The journal is written at an fsync, and otherwise too late to help, so that every missing fsync shows.
        self._mount = ("mount", "-o", "loop,commit=300", str(self.image), str(self.path))
        _run(*self._mount)

    def cut_power(self) -> None:
        """Lose everything that was not flushed. Until `mount`, every use of the disk is an error."""
        handle = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, SHUT_DOWN, WITHOUT_FLUSH)
        finally:
            os.close(handle)

    def mount(self) -> None:
        """Mount the disk again after the cut; its journal is applied. No process may have a file open there."""
        _run("umount", str(self.path))
        # A copy, since a browser's sandbox that started meanwhile keeps the old mount, which would be mounted again.
        copy = self.image.with_suffix(".copy")
        _run("cp", "--sparse=always", str(self.image), str(copy))
        copy.replace(self.image)
        _run(*self._mount)

    def remove(self) -> None:
        with suppress(OSError):
            _run("umount", "--lazy", str(self.path))
        self.image.unlink()


def _run(*command: str) -> None:
    """Run a program. Raises OSError with its message if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stderr.strip()}")
