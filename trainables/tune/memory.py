"""How a process that runs trials holds its memory, and when it has none left."""

import ctypes
import sys

import torch

# From malloc.h of glibc.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST_THRESHOLD = 32 * 2**20


def keep_freed_memory() -> None:
    """Have glibc keep the memory of freed tensors for the next ones.

    By default it gives much of it back to the system, which must then clear each page anew: of a small model's step
    that is up to half. The process's peak memory stays the same. Does nothing where the C library is another one.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_TOP_PAD, 2 * LARGEST_THRESHOLD)
    mallopt(M_MMAP_THRESHOLD, LARGEST_THRESHOLD)


def may_pass(error: Exception) -> bool:
    """Whether trying again may help: memory ran out, which says nothing about the trial.

    Tune then starts the trial again, elsewhere if it can, from its last checkpoint.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
