"""A trial's share of a GPU: the device, and how much of its memory. CUDA itself is a stand-in here."""

import pytest
import torch

from trainables import TrialTrainable
from trainables.core.process import use_gpu


@pytest.fixture
def fractions(monkeypatch):
    given = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", given.append)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    return given


@pytest.mark.parametrize(("gpus", "device", "memory"), [(0.0, "cpu", []), (0.25, "cuda", [0.25]), (1.0, "cuda", [])])
def test_device_and_memory(gpus, device, memory, fractions):
    trial = TrialTrainable.__new__(TrialTrainable)
    trial.setup({"method": "baseline"}, gpus=gpus)
    assert trial.device == device
    assert fractions == memory


def test_results_are_repeatable_there(fractions):
    use_gpu(0.5)
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
