"""The shuffle moves outside pixels only, uniformly, each image by itself and all channels together."""

from itertools import permutations

import pytest
import torch
from scipy.stats import chi2

from trainables.methods.parts.altered import shuffle_outside


@pytest.fixture
def shuffled():
    rng = torch.Generator().manual_seed(3)
    images = torch.randn(20, 3, 7, 6, generator=rng)
    outside = torch.rand(20, 1, 7, 6, generator=rng) < 0.6
    return images, outside, shuffle_outside(images, outside, rng)


def test_inside_pixels_stay(shuffled):
    images, outside, result = shuffled
    inside = ~outside.expand_as(images)
    assert torch.equal(result[inside], images[inside])
    assert (result != images).any()


def test_outside_pixels_are_a_permutation_with_channels_together(shuffled):
    images, outside, result = shuffled
    for image, out, moved in zip(images, outside[:, 0], result, strict=True):
        before = sorted(image[:, out].T.tolist())
        after = sorted(moved[:, out].T.tolist())
        assert before == after, "a pixel's three channels form one item of the multiset"


def test_images_have_independent_permutations():
    images = torch.arange(36.0).view(1, 1, 6, 6).expand(8, 1, 6, 6).contiguous()
    result = shuffle_outside(images, torch.ones(8, 1, 6, 6, dtype=torch.bool), torch.Generator().manual_seed(0))
    assert len({tuple(r.flatten().tolist()) for r in result}) == 8


def test_uniform_over_permutations():
    # Pixels 0, 2 and 4 are outside: 6 permutations, 5 degrees of freedom.
    draws = 12_000
    images = torch.arange(5.0).view(1, 1, 1, 5).expand(draws, 1, 1, 5).contiguous()
    outside = torch.tensor([True, False, True, False, True]).view(1, 1, 1, 5).expand(draws, 1, 1, 5).contiguous()
    result = shuffle_outside(images, outside, torch.Generator().manual_seed(11))[:, 0, 0]
    assert (result[:, [1, 3]] == torch.tensor([1.0, 3.0])).all()
    counts = [(result[:, [0, 2, 4]] == torch.tensor(p)).all(dim=1).sum().item() for p in permutations((0.0, 2.0, 4.0))]
    assert sum(counts) == draws
    statistic = sum((c - draws / 6) ** 2 / (draws / 6) for c in counts)
    assert statistic < chi2.ppf(0.999, df=5), counts


def test_same_generator_state_same_shuffle_and_anew_each_time(shuffled):
    images, outside, _ = shuffled
    first = shuffle_outside(images, outside, torch.Generator().manual_seed(5))
    rng = torch.Generator().manual_seed(5)
    assert torch.equal(shuffle_outside(images, outside, rng), first)
    assert not torch.equal(shuffle_outside(images, outside, rng), first)


def test_detached_and_nothing_outside():
    images = torch.randn(2, 1, 3, 3, requires_grad=True)
    nothing = torch.zeros(2, 1, 3, 3, dtype=torch.bool)
    result = shuffle_outside(images, nothing, torch.Generator())
    assert torch.equal(result, images)
    assert not result.requires_grad
