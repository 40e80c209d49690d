"""How many images pass a network together."""

from itertools import chain

import pytest
import torch

from trainables.core.batch import at_once, parts


@pytest.mark.parametrize(("side", "expected"), [(8, 64), (64, 64), (96, 28), (128, 16), (224, 5), (1024, 4)])
def test_a_processor_takes_fewer_large_images(side, expected):
    shape = torch.Size((1, 3, side, side))
    assert at_once(shape, torch.device("cpu")) == expected
    assert at_once(shape, torch.device("cuda")) == 64


@pytest.mark.parametrize("side", [28, 96, 224])
@pytest.mark.parametrize("n", [0, 1, 2, 5, 6, 11, 64, 65, 66, 130])
def test_parts_hold_all_items_and_none_alone_but_the_65th(side, n):
    of = torch.Size((1, 1, side, side)), torch.device("cpu")
    items = [list(range(n))[part] for part in parts(n, *of)]
    assert list(chain(*items)) == list(range(n))
    assert max(map(len, items)) <= at_once(*of)
    assert all(len(item) > 1 for item in items) or n % 64 in (0, 1)
