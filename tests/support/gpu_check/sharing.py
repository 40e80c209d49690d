"""A shared GPU: memory of a trial, whether shares are enforced, and trials per hour by share.

Every measurement runs in new processes, set up like those of a sweep with `--gpus-per-trial`.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from threading import Barrier, BrokenBarrierError

import torch

from support.gpu_check.comparison import Comparison, one_line
from trainables import resolve
from trainables.core.process import use_gpu, use_one_thread
from trainables.trial.training import Training

SHARES = (1.0, 0.5, 0.25, 0.125)
CUDA = "cuda"
MIB = 2**20


@dataclass(frozen=True)
class Throughput:
    """Trials that share a GPU, by --gpus-per-trial: the most memory that torch reserved, and CUDA's own, if known."""

    share: float
    model: str
    trials_an_hour: float = 0.0
    memory_mib: float | None = None
    context_mib: float | None = None
    error: str = ""


def measure(share: float, model: str, device: str, trials: int = 2, epochs: int = 10) -> Throughput:
    """Run `trials` trials one after the other, after one for warming up, in each of 1 / share processes on a GPU."""
    processes = round(1 / share)
    spawn = get_context("spawn")
    with spawn.Manager() as manager, ProcessPoolExecutor(processes, spawn) as pool:
        work = partial(_work, share, model, device, trials, epochs, manager.Barrier(processes))
        futures = [pool.submit(work, seed) for seed in range(processes)]
        errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        # If one process fails, the others report a broken barrier.
        error = next((error for error in errors if not isinstance(error, BrokenBarrierError)), errors[0])
        return Throughput(share, model, error=one_line(error))
    seconds, *held = zip(*(future.result() for future in futures), strict=True)
    memory, context = (max((mib for mib in each if mib is not None), default=None) for each in held)
    return Throughput(share, model, 3600 * processes * trials / max(seconds), memory, context)


def _work(
    share: float, model: str, device: str, trials: int, epochs: int, barrier: Barrier, seed: int
) -> tuple[float, float | None, float | None]:
    """Seconds of the trials once all processes are warm, and MiB that torch and CUDA held."""
    use_one_thread()
    if device == CUDA:
        use_gpu(share)
    try:
        _train(model, device, 1, seed)
        barrier.wait()
    except BaseException:
        # Release the other processes.
        barrier.abort()
        raise
    start = time.perf_counter()
    for number in range(trials):
        _train(model, device, epochs, seed + 1000 * (number + 1))
    seconds = time.perf_counter() - start
    if device != CUDA:
        return seconds, None, None
    free, total = torch.cuda.mem_get_info()
    # The memory of all processes on the GPU, of which this one has a share.
    context = max(0.0, (total - free) * share - torch.cuda.memory_reserved())
    return seconds, torch.cuda.max_memory_reserved() / MIB, context / MIB


def _train(model: str, device: str, epochs: int, seed: int) -> None:
    config = resolve({"model": model, "epochs": epochs, "n_train": 320, "seed": seed, "selection": "last"})
    training = Training((config,), device)
    while not training.step().get("done"):
        pass


def compare_shares(device: str) -> Iterator[Comparison]:
    """Whether a process with a quarter of the GPU can allocate 0.2 of its memory, but not 0.3."""
    for part, expected in ((0.2, True), (0.3, False)):
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            taken = pool.submit(can_take, 0.25, part).result()
        name = f"a share of 0.25 {'can' if expected else 'cannot'} take {part:g} of the GPU"
        yield Comparison("memory", name, float(taken != expected))


def can_take(share: float, part: float) -> bool:
    """Whether this part of the GPU's memory can be allocated under a share."""
    device = use_gpu(share)
    total = torch.cuda.get_device_properties(device).total_memory
    try:
        torch.empty(int(part * total), dtype=torch.uint8, device=device)
    except torch.OutOfMemoryError:
        return False
    return True
