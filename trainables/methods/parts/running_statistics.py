"""A forward pass that leaves batch normalisation's running statistics alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def frozen_running_statistics(model: nn.Module, frozen: bool = True) -> Iterator[None]:
    """Within the block, train-mode batch normalisation uses batch statistics without recording them.

    With `frozen=False` the block changes nothing. Restores the model after an error too.
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats] if frozen else []
    try:
        for layer in layers:
            layer.track_running_stats = False
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
