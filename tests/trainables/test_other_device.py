"""Everything that trials compute, without a GPU, on a device that like CUDA does not mix with the processor.

The checks are those of `make gpu-check`. This device computes by the processor's kernels, so results must be equal.
"""

import pytest
import torch
from support import other_device
from support.gpu_check import comparison
from support.gpu_check.comparison import checks
from support.need import need

from trainables import ATTRIBUTIONS, LOCALISATION

ROUNDING = 1e-6
"""Kernels may add in another order if the memory layout differs."""
CHECKS = {f"{check.part} {check.name}": check for check in checks()}
WITHOUT_DETERMINISTIC_KERNEL = (
    *("_adaptive_avg_pool2d_backward", "adaptive_max_pool2d_backward", "avg_pool3d_backward", "bincount"),
    *("fractional_max_pool2d_backward", "grid_sampler_2d_backward", "histc", "index_reduce", "max_unpool2d", "median"),
    *("nanmedian", "nll_loss2d_forward", "put_", "reflection_pad2d_backward", "scatter_reduce"),
    *("upsample_bicubic2d_backward", "upsample_bilinear2d_backward", "upsample_linear1d_backward"),
)
"""What raises an error on CUDA under deterministic algorithms: documentation of torch.use_deterministic_algorithms."""


@pytest.fixture(autouse=True)
def parameters():
    need(other_device.REASON)
    with other_device.parameters_keep_their_identity():
        yield


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (lambda values: values + torch.ones(2), "Expected all tensors to be on the same device"),
        (lambda values: torch.nn.Linear(2, 1)(values), "Expected all tensors to be on the same device"),
        (lambda _: torch.rand(2, generator=torch.Generator(), device="other"), "device type for generator"),
        (lambda values: values.numpy(), "numpy"),
    ],
)
def test_what_cuda_refuses_is_refused(refused, message):
    with pytest.raises((RuntimeError, TypeError), match=message):
        refused(torch.tensor([1.0, 2.0]).to(other_device.NAME))


QUICK = ("arithmetic convolution and product", "step gradmask, fixed", "maps input_gradient", "scores iou")


@pytest.mark.parametrize("name", QUICK)
def test_quick_checks(name):
    compare(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CHECKS.keys() - set(QUICK)))
def test_all_checks(name):
    compare(name)


def compare(name: str) -> None:
    check = CHECKS[name]
    compared = check.run("other")
    assert compared
    for each in compared:
        assert not each.error, each
        # Arithmetic is compared with double precision, and autocast lowers other operators on other devices.
        has_tolerance = each.part == "arithmetic" or "bfloat16" in each.name
        assert each.difference <= (each.tolerance if has_tolerance else min(each.tolerance, ROUNDING)), each


@pytest.fixture
def deterministic():
    """As on a GPU, where `interpolate` then takes another way (`use_gpu`)."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.slow
def test_every_operator_has_a_deterministic_kernel_on_cuda(deterministic):
    other_device.OPERATORS.clear()
    for name in CHECKS:
        if name.startswith(("step", "maps", "scores")) and name.endswith((", fixed", *ATTRIBUTIONS, *LOCALISATION)):
            assert all(each.holds for each in CHECKS[name].run("other")), name
    used = {operator.split(".")[1] for operator in other_device.OPERATORS}
    assert {"convolution_backward", "nll_loss_forward", "scatter_add", "searchsorted"} <= used
    assert not used & set(WITHOUT_DETERMINISTIC_KERNEL)


def test_a_difference_is_seen(monkeypatch):
    """Wrong weights on the device, and a trial that is not repeatable."""
    trial = comparison.Trial

    class Shifted(trial):
        def __init__(self, config, device="cpu", also=()):
            super().__init__(config, device, also)
            if device == "other":
                with torch.no_grad():
                    next(self.model.parameters()).mul_(1.01)

    monkeypatch.setattr(comparison, "Trial", Shifted)
    (compared,) = CHECKS["step baseline, fixed"].run("other")
    assert compared.difference > compared.tolerance
    assert not compared.holds
