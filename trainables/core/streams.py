"""Random streams: one for each use, seeded by a hash of its name and the seeds.

A new use of randomness gets a new name, so it cannot shift the numbers that others draw.
"""

import hashlib

import numpy as np
import torch


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
