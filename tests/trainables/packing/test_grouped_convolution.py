"""Grouped convolution and its derivatives, against finite differences and torch's own."""

import pytest
import torch
from torch.nn.functional import conv2d

from trainables.packing.grouped_convolution import grouped_convolution


@pytest.fixture
def operands():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1, 4, 4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 2, 3, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    return images, weight


@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
def test_first_and_second_derivatives_are_those_of_finite_differences(stride, operands):
    def function(images, weight):
        return grouped_convolution(images, weight, (stride, (1, 1), (1, 1), 2))

    images, weight = operands
    assert torch.equal(function(images, weight), conv2d(images, weight, None, stride, 1, 1, 2))
    assert torch.autograd.gradcheck(function, operands)
    assert torch.autograd.gradgradcheck(function, operands)


def test_a_penalty_on_the_input_gradient_has_torchs_own_gradient(operands):
    images, weight = operands

    def gradient(function):
        (inner,) = torch.autograd.grad(function(images, weight).tanh().square().sum(), images, create_graph=True)
        return torch.autograd.grad(inner.abs().sum(), (images, weight))

    own = gradient(lambda x, w: grouped_convolution(x, w, ((2, 2), (1, 1), (1, 1), 2)))
    torch.testing.assert_close(own, gradient(lambda x, w: conv2d(x, w, None, 2, 1, 1, 2)))
