"""What a process that runs trials on a GPU sets, as far as it can be seen without one. CUDA's memory is a stand-in."""

import os

import pytest
import torch
from torch.nn.functional import conv2d

from trainables import TrialTrainable
from trainables.core.process import use_gpu

SWITCHES = (
    (torch.backends.cudnn, "deterministic", False),
    (torch.backends.cudnn, "benchmark", True),
    (torch.backends.cudnn.conv, "fp32_precision", "tf32"),
    (torch.backends.cuda.matmul, "fp32_precision", "tf32"),
    (torch.utils.deterministic, "fill_uninitialized_memory", True),
)
"""With values that a GPU is not to have."""


@pytest.fixture
def fractions(monkeypatch):
    """The shares of memory that were set; torch's settings of the process are as before afterwards."""
    shares = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    monkeypatch.setattr(os, "environ", {k: v for k, v in os.environ.items() if k != "CUBLAS_WORKSPACE_CONFIG"})
    before = [getattr(owner, name) for owner, name, _ in SWITCHES]
    for owner, name, value in SWITCHES:
        setattr(owner, name, value)
    yield shares
    torch.use_deterministic_algorithms(False)
    for (owner, name, _), value in zip(SWITCHES, before, strict=True):
        setattr(owner, name, value)


@pytest.mark.parametrize(("gpus", "device", "memory"), [(0.0, "cpu", []), (0.25, "cuda", [0.25]), (1.0, "cuda", [])])
def test_device_and_memory(gpus, device, memory, fractions):
    trial = TrialTrainable.__new__(TrialTrainable)
    trial.setup({"method": "baseline"}, gpus=gpus)
    assert trial.device == device
    assert fractions == memory


def test_results_are_repeatable_there(fractions):
    use_gpu(0.5)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled(), "what is not deterministic is an error"
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_convolutions_can_be_differentiated_twice_under_these_settings(fractions):
    """torch refuses to read the older switch of TF32 once the newer one is set; its own code must not read it."""
    use_gpu(1.0)
    images, kernel = torch.rand(2, 3, 6, 6, requires_grad=True), torch.rand(4, 3, 3, 3, requires_grad=True)
    (slope,) = torch.autograd.grad(conv2d(images, kernel).pow(3).sum(), images, create_graph=True)
    slope.square().sum().backward()
    assert kernel.grad.isfinite().all()


def test_a_trial_on_the_processor_changes_none_of_this(fractions):
    trial = TrialTrainable.__new__(TrialTrainable)
    trial.setup({"method": "baseline"})
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.conv.fp32_precision == "tf32"
