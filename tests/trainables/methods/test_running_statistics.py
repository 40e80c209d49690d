"""Forward passes that leave batch normalisation's running statistics alone."""

import pytest
import torch
from torch import nn

from trainables.methods.parts.altered import frozen_running_statistics


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    untracked = nn.BatchNorm2d(3, track_running_stats=False)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), untracked).train()


def statistics(model: nn.Module) -> list[torch.Tensor]:
    return [buffer.clone() for buffer in model.buffers()]


def test_frozen_pass_uses_batch_statistics_and_records_nothing(model):
    images = torch.randn(4, 1, 8, 8)
    before = statistics(model)
    with frozen_running_statistics(model):
        frozen = model(images)
    assert all(torch.equal(a, b) for a, b in zip(before, statistics(model), strict=True))
    assert torch.equal(model(images), frozen), "same output as an ordinary train-mode pass"
    assert not torch.equal(before[0], statistics(model)[0]), "the ordinary pass does record"


def test_not_frozen_changes_nothing(model):
    before = statistics(model)
    with frozen_running_statistics(model, frozen=False):
        model(torch.randn(4, 1, 8, 8))
    assert not torch.equal(before[0], statistics(model)[0])


def test_restores_after_an_error(model):
    def fail() -> None:
        with frozen_running_statistics(model):
            assert not model[1].track_running_stats
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail()
    assert model[1].track_running_stats
    assert not model[2].track_running_stats, "a layer that never tracked is not switched on"
