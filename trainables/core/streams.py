"""Random streams: one per use, each seeded by a hash of the seeds and its own name.

A new use of randomness gets a new name, so it cannot shift the numbers that the others draw.
"""

import hashlib

import numpy as np
import torch


def stream_seed(name: str, *parts: str | int | float) -> int:
    """A 63-bit seed from a use's name and whatever the stream may depend on, the same in every process."""
    text = "\x1f".join([name, *(repr(part) for part in parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_stream(name: str, *parts: str | int | float) -> np.random.Generator:
    """A numpy generator of the stream `name`."""
    return np.random.default_rng(stream_seed(name, *parts))


def torch_stream(name: str, *parts: str | int | float) -> torch.Generator:
    """A torch CPU generator of the stream `name`."""
    return torch.Generator().manual_seed(stream_seed(name, *parts))
