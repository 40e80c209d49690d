"""Autograd's slope of every penalty against finite differences of the penalty."""

import copy
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.families import FAMILIES, SIDE
from torch import Tensor
from torch.nn.functional import relu, softplus
from torch.overrides import TorchFunctionMode

from trainables.methods import METHODS, right_for_better_reasons
from trainables.models import MODELS, Classifier
from trainables.models.initialise import initialise

PENALTIES = [name for name in sorted(METHODS) if METHODS[name].has_penalty and not METHODS[name].stops_gradient]
CASES = [
    (name, model, preset)
    for name in PENALTIES
    for model in sorted(MODELS)
    for preset in ("fixed", "paper")
    if preset == "fixed" or (model == "small_cnn" and METHODS[name].reads_preset)
    if model not in METHODS[name].too_steep_on
]
OTHER_NETWORKS = [name for name, family in FAMILIES.items() if not family.no_second_derivative]


class Smooth(TorchFunctionMode):
    """Rectifiers, absolute values and extremes become smooth relatives.

    A penalty on an input gradient jumps where a rectifier switches, and differences across a jump are no slope.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return RELATIVES.get(func, func)(*args, **(kwargs or {}))


def soft_abs(values: Tensor) -> Tensor:
    return (values.square() + 1e-2).sqrt()


def soft_max(values: Tensor, dim, keepdim: bool = False) -> Tensor:
    return values.logsumexp(dim, keepdim)


def soft_min(values: Tensor, dim, keepdim: bool = False) -> Tensor:
    return -(-values).logsumexp(dim, keepdim)


RELATIVES = {
    relu: lambda values, inplace=False: softplus(values),
    Tensor.relu: softplus,
    Tensor.abs: soft_abs,
    Tensor.amax: soft_max,
    Tensor.amin: soft_min,
}


@pytest.fixture
def slopes(new_method, make_batch):
    """slopes(name, model, preset): the penalty's slope along two random directions of the parameters.

    Returns [directions, 2]: as autograd gives it, and as five-point differences of the penalty.
    """

    def of(name: str, model_name: str, preset: str, step: float = 1e-3, side: int = 12) -> np.ndarray:
        batch = make_batch(n=4, side=side)
        model = initialise(model_name, 1, 2, seed=0, side=side).double().train()
        if model_name not in MODELS:
            # Some libraries start with zeros, where the penalty is flat.
            torch.nn.init.normal_(model.head.weight, std=0.02, generator=torch.Generator().manual_seed(0))

        def penalty(at: Classifier) -> Tensor:
            # A method may have a state of its own, and draws from the batch's generator.
            method = new_method(name, model.feature_size, strength=0.1, preset=preset)
            with Smooth(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return method.loss(at, replace(batch, rng=torch.Generator().manual_seed(0))).penalty

        parameters = list(model.parameters())
        gradient = torch.autograd.grad(penalty(model), parameters, materialize_grads=True)
        rng = torch.Generator().manual_seed(1)

        def along() -> tuple[float, float]:
            direction = [torch.randn(p.shape, generator=rng, dtype=p.dtype) for p in parameters]
            length = torch.stack([d.square().sum() for d in direction]).sum().sqrt()

            def at(distance: float) -> float:
                moved = copy.deepcopy(model)
                with torch.no_grad():
                    for parameter, d in zip(moved.parameters(), direction, strict=True):
                        parameter.add_(distance / length * d)
                return penalty(moved).item()

            slope = torch.stack([(g * d).sum() for g, d in zip(gradient, direction, strict=True)]).sum() / length
            differences = 8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))
            return slope.item(), differences / (12 * step)

        return np.array([along(), along()])

    return of


@pytest.mark.parametrize(("name", "model_name", "preset"), CASES)
def test_autograd_gives_the_slope_of_the_penalty(slopes, name, model_name, preset):
    autograd, differences = slopes(name, model_name, preset).T
    assert differences.all()
    np.testing.assert_allclose(autograd, differences, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rrr", "hint"])
@pytest.mark.parametrize("model_name", OTHER_NETWORKS)
def test_autograd_gives_the_slope_on_other_networks(slopes, name, model_name):
    """On the input gradient and on the gradient by the last map, from which the other penalties are made too."""
    autograd, differences = slopes(name, model_name, "fixed", step=1e-5, side=SIDE).T
    assert differences.all()
    np.testing.assert_allclose(autograd, differences, rtol=1e-4)


def test_the_check_fails_on_torchs_batch_normalisation(slopes, monkeypatch):
    """Its third derivative raises an error since torch 2.15 and was wrong before."""
    monkeypatch.setattr(right_for_better_reasons, "ElementaryBatchNorm", nullcontext)
    with pytest.raises((AssertionError, RuntimeError), match=r"Not equal to tolerance|batch_norm does not support 3rd"):
        np.testing.assert_allclose(*slopes("right_for_better_reasons", "small_cnn", "fixed").T, rtol=0.1)
