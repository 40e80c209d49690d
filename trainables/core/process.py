"""Settings of a process that runs trials: threads, memory, a share of a GPU."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

# From glibc's malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST_THRESHOLD = 32 * 2**20
CUBLAS_WORKSPACE = ":4096:8"
"""Eight buffers of 4 MiB, one of the two sizes with which cuBLAS is deterministic; read when CUDA starts."""


def use_one_thread() -> None:
    """Use one thread, flush denormals, which slow convolutions down manyfold, and keep freed memory."""
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


@contextmanager
def as_in_a_sweep() -> Iterator[None]:
    """Within the block, one thread and flushed denormals, so that a trial gives the same numbers as in a sweep."""
    threads = torch.get_num_threads()
    denormal = torch.tensor(5e-324, dtype=torch.float64)
    flushed = bool(denormal + denormal == 0)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushed)


def use_gpu(share: float) -> str:
    """Set up a GPU, or a share of one in (0, 1], and return the device's name.

    Trials on one GPU do not see each other's memory, so each is limited to its share. Numbers are the same bit for bit
    in every run on one kind of GPU: torch uses deterministic kernels, and an operator that has none raises an error.
    float32 is float32: TF32, the default of convolutions on Ampere and newer GPUs, keeps 10 bits of 23 and is off.
    Call it before anything is computed on the GPU.
    """
    # torch's types lack what is set here.
    cudnn: Any = torch.backends.cudnn
    deterministic: Any = torch.utils.deterministic
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    torch.use_deterministic_algorithms(True)
    # Filling new tensors takes a kernel each and helps only code that reads what it has not written.
    deterministic.fill_uninitialized_memory = False
    cudnn.deterministic = True
    cudnn.benchmark = False
    cudnn.conv.fp32_precision = "ieee"
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    if share < 1:
        torch.cuda.set_per_process_memory_fraction(share)
    return "cuda"


def keep_freed_memory() -> None:
    """Make glibc keep the memory of freed tensors for the next ones. Does nothing with another C library.

    By default glibc returns much of it to the system, which must then clear each page anew; that is up to half the time
    of a small model's step. Peak memory stays the same.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_TOP_PAD, 2 * LARGEST_THRESHOLD)
    mallopt(M_MMAP_THRESHOLD, LARGEST_THRESHOLD)


def is_transient(error: Exception) -> bool:
    """Whether a retry may succeed: memory ran out, which says nothing about the trial itself.

    Tune then restarts the trial from its last checkpoint, on another node if it can.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
