"""Folders of decoded images: made once per machine, and mapped into memory by every process that needs them."""

import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import numpy as np
from rich.console import Console
from rich.progress import Progress

from records.folder_storage import sync
from trainables.core.errors import SHOWN, ConfigurationError, Problems
from trainables.core.files import cache_folder

KINDS = {"decoded": "decoded images", "objects": "copies of files in S3", "digests": "digests of files"}
"""The cache folders that `clear_cache` empties, and what they hold."""
TIMES = "decoding.json"
"""The file with the seconds that decoding took; a folder that has it is complete."""
ABANDONED, PATIENCE = 24 * 3600.0, 1.0
"""Seconds after which a folder being decoded is that of a killed process; seconds without a progress bar."""

T = TypeVar("T")


def decoded_folder(form: Sequence[object], write: Callable[[Path], None]) -> Path:
    """The cache folder of the images that `form` (JSON) identifies; `write` decodes them into it unless they are there.

    A folder appears under its name when it is complete; of several processes the first one wins. ConfigurationError if
    the disk is full.
    """
    folder = cache_folder("decoded") / hashlib.sha256(json.dumps(form).encode()).hexdigest()[:32]
    if not (folder / TIMES).is_file():
        _build(folder, write)
    return folder


def seconds(folder: Path) -> float:
    """How long decoding took."""
    return float(json.loads((folder / TIMES).read_bytes())["seconds"])


def _build(folder: Path, write: Callable[[Path], None]) -> None:
    start = time.monotonic()
    _remove_abandoned(folder.parent)
    partial = folder.with_name(f".{folder.name}-{uuid4().hex}")
    partial.mkdir()
    try:
        write(partial)
        (partial / TIMES).write_text(json.dumps({"seconds": time.monotonic() - start}))
        for path in partial.iterdir():
            # Otherwise a power failure after the renaming leaves black images.
            sync(path)
        try:
            partial.rename(folder)
        except OSError:
            if not (folder / TIMES).is_file():
                raise
    except OSError as error:
        raise ConfigurationError(
            f"cannot write decoded images to {folder.parent}: {error.strerror}; free disk space, or set XDG_CACHE_HOME "
            "to another folder"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    for abandoned in parent.glob(".*-*"):
        with suppress(FileNotFoundError):  # Another process may remove or rename it at the same time.
            if time.time() - abandoned.stat().st_mtime > ABANDONED:
                shutil.rmtree(abandoned, ignore_errors=True)


def allocated(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap:
    """A new array mapped from a file with all its blocks: on a full disk, writing to missing ones kills a process."""
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def mapped(path: Path) -> np.memmap:
    """An array mapped from a file, copy on write, as torch takes no read-only arrays."""
    array: np.memmap = np.load(path, "c", allow_pickle=False)
    return array


def decode_all(decode: Callable[[int], None], n: int, what: str) -> None:
    """Call `decode` for 0 to n - 1, one thread per processor, with a progress bar that is named `what`.

    The first few ConfigurationErrors become one.
    """
    failed: list[int] = []

    def attempt(i: int) -> str | None:
        if len(failed) <= SHOWN:
            try:
                decode(i)
            except ConfigurationError as error:
                failed.append(i)
                return str(error)
        return None

    # Libraries warn of damage that they repair. Warning filters are shared by all threads, so set them around the pool.
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")
        problems = Problems(filter(None, tracked(pool.map(attempt, range(n)), n, what)))
    problems.check()


def tracked(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """The items, with a progress bar and the time left on a terminal's stderr if they take more than `PATIENCE`."""
    console = Console(stderr=True)
    progress = Progress(console=console, transient=True, disable=not console.is_terminal)
    task, start = progress.add_task(what, total=total), time.monotonic()
    try:
        for item in items:
            yield item
            progress.advance(task)
            if time.monotonic() - start > PATIENCE:
                progress.start()
    finally:
        progress.stop()


def clear_cache() -> dict[str, int]:
    """Remove what is in the cache of all datasets; the bytes that each of `KINDS` took.

    A process that has mapped removed files keeps them until it ends. Folders being decoded are left.
    """
    freed = {}
    for kind in KINDS:
        folder = cache_folder(kind)
        _remove_abandoned(folder)
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        freed[kind] = sum(map(size, entries))
        for entry in entries:
            if entry.is_dir():
                # Under its name a folder is complete; this one is removed like that of a killed process.
                shutil.rmtree(entry.rename(entry.with_name(f".{entry.name}-{uuid4().hex}")))
            else:
                entry.unlink()
    return freed


def size(path: Path) -> int:
    """Bytes of a file, or of the files in a folder."""
    return sum(map(size, path.iterdir())) if path.is_dir() else path.stat().st_size
