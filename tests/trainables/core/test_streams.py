"""Random streams: named, independent, the same everywhere."""

import hashlib

import numpy as np
import torch

from trainables.core.streams import numpy_stream, stream_seed, torch_stream


def test_seed_is_the_hash_of_name_and_parts():
    digest = hashlib.sha256(b"weights\x1f3\x1f'a'\x1f0.5").digest()
    assert stream_seed("weights", 3, "a", 0.5) == int.from_bytes(digest[:8], "big") // 2


def test_same_stream_same_numbers_other_stream_other_numbers():
    assert (numpy_stream("x", 1).random(5) == numpy_stream("x", 1).random(5)).all()
    assert (numpy_stream("x", 1).random(5) != numpy_stream("x", 2).random(5)).all()
    assert (numpy_stream("x", 1).random(5) == np.random.default_rng(stream_seed("x", 1)).random(5)).all()
    draws = [torch.rand(5, generator=torch_stream(name, 1)) for name in ("x", "x", "y")]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
