"""Random streams: one for each use, seeded by a hash of its name and the seeds.

A new use of randomness gets a new name, so it cannot shift the numbers that others draw.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

PROCESSOR = torch.device("cpu")


def stream_seed(name: str, *parts: str | int | float) -> int:
    """A 63-bit seed from a stream's name and whatever it depends on, the same in every process."""
    text = "\x1f".join([name, *(repr(part) for part in parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_stream(name: str, *parts: str | int | float) -> np.random.Generator:
    """A numpy generator for the stream `name`."""
    return np.random.default_rng(stream_seed(name, *parts))


def torch_stream(name: str, *parts: str | int | float) -> torch.Generator:
    """A torch generator on the processor for the stream `name`."""
    return torch.Generator().manual_seed(stream_seed(name, *parts))


@contextmanager
def global_stream(name: str, *parts: str | int | float, device: torch.device = PROCESSOR) -> Iterator[None]:
    """Within the block, torch's global generators of the processor and of `device` are those of the stream `name`.

    For code that takes no generator. Afterwards the generators are as before.
    """
    seed, gpus = stream_seed(name, *parts), [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        # Unlike torch.manual_seed, this leaves the generators of other devices alone.
        torch.default_generator.manual_seed(seed)
        if gpus:
            torch.cuda.manual_seed(seed)
        yield
