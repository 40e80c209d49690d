"""A torch device beside the processor, without a GPU: importing this module registers the device `other`.

Its tensors hold values that the processor computes, so results can be compared with those of the processor. It rejects
what CUDA rejects: tensors of two devices in one operator, generators of the processor, and `numpy()`. It does not
simulate the kernels of a GPU: neither their rounding, nor their speed, nor their memory.

torch's parts for this (`PrivateUse1` with a Python backend) are not stable. If one is missing, `REASON` names it, and
the tests are skipped. Import this module before anything is differentiated: autograd counts the devices once per
process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map

NAME = "other"
REASON = ""
"""Why this torch cannot have the device; empty if it has it."""
OPERATORS: set[str] = set()
"""Names of the operators that the device has run, e.g. "aten.add.Tensor"."""

aten = torch.ops.aten
MOVES = {aten._to_copy.default, aten.copy_.default}
"""Operators that accept tensors of two devices."""
INDEXED = {
    *(aten.index.Tensor, aten._unsafe_index.Tensor),
    *(aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default),
}
"""Operators that accept index tensors on the processor."""
RESIZED = aten.arange
LOWERED = ("conv2d", "linear", "matmul", "mm", "bmm", "addmm", "baddbmm")
"""Operators that autocast computes in half precision; CUDA's list is longer."""


class OtherTensor(torch.Tensor):
    """A tensor of the device; `values` is the tensor on the processor that holds its values."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    values: torch.Tensor

    @staticmethod
    def __new__(cls, values: torch.Tensor) -> "OtherTensor":
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=torch.device(NAME, 0),
        )
        tensor.values = values
        return tensor

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, *args, **(kwargs or {}))

    def __repr__(self, **_: Any) -> str:
        return f"OtherTensor({self.values})"

    def tolist(self) -> Any:
        return self.values.tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:
        # As torch.load(map_location="cpu") does with tensors of any device.
        return self.values.__reduce_ex__(protocol)


def run(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Compute an operator on the processor; its result is on this device if an argument or `device` is.

    Raises:
        RuntimeError: for arguments that CUDA rejects.
    """
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    here = [tensor for tensor in tensors if isinstance(tensor, OtherTensor)]
    device = kwargs.get("device")
    if device is not None:
        to_here = torch.device(device).type == NAME
        kwargs["device"] = torch.device("cpu")
    else:
        to_here = isinstance(args[0], OtherTensor) if func in MOVES else bool(here)
    if here:
        _check_devices(func, args, tensors)
    if to_here and isinstance(generator := kwargs.get("generator"), torch.Generator):
        raise RuntimeError(f"Expected a '{NAME}' device type for generator but found '{generator.device.type}'")
    OPERATORS.add(str(func))
    own, own_kwargs = tree_map(_values, (args, kwargs))
    if func is aten._efficientzerotensor.default:
        # Tensors without values cannot be wrapped.
        func = aten.zeros.default
    result = func(*own, **own_kwargs)
    wrapped = {id(tensor.values): tensor for tensor in here}
    for tensor in here:
        if tensor.shape != tensor.values.shape:
            raise NotImplementedError(f"{func} changes the shape of a tensor in place")

    def wrap(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not to_here:
            return value
        return wrapped.get(id(value)) if id(value) in wrapped else OtherTensor(value)

    return tree_map(wrap, result)


def _values(value: Any) -> Any:
    return value.values if isinstance(value, OtherTensor) else value


def _check_devices(func: Any, args: tuple[Any, ...], tensors: list[torch.Tensor]) -> None:
    """Reject tensors of the processor, except single numbers in pointwise operators, and indices."""
    if func in MOVES:
        return
    foreign = [tensor for tensor in tensors if not isinstance(tensor, OtherTensor)]
    if torch.Tag.pointwise in func.tags or func in INDEXED:
        foreign = [tensor for tensor in foreign if tensor.dim()]
    if func in INDEXED and isinstance(args[0], OtherTensor):
        foreign = [tensor for tensor in foreign if tensor.is_floating_point()]
    if foreign:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in foreign)
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found {NAME} and cpu ({shapes}) in {func}"
        )


_MODULE = SimpleNamespace(
    is_available=lambda: True,
    is_initialized=lambda: True,
    device_count=lambda: 1,
    current_device=lambda: 0,
    _is_in_bad_fork=lambda: False,
    manual_seed_all=lambda seed: None,
    get_amp_supported_dtype=lambda: [torch.bfloat16, torch.float16],
)
"""`torch.other`: the functions that torch calls for every device. The device has no generator."""


def _lowered(name: str) -> Any:
    """The operator `name` in autocast's precision."""
    operator = getattr(aten, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)):
            dtype = torch.get_autocast_dtype(NAME)
            return operator(*tree_map(lambda value: _lower(value, dtype), args), **kwargs)

    return call


def _lower(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, OtherTensor) and value.dtype == torch.float32 else value


@contextmanager
def parameters_keep_their_identity() -> Iterator[None]:
    """Within the block, moving a module keeps its parameters' identity, as moving it to CUDA does."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        yield
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)


def _register() -> list[Any]:
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend(NAME, _MODULE)
    everything = torch.library.Library("_", "IMPL")
    everything.fallback(run, "PrivateUse1")
    everything.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    some = torch.library.Library("aten", "IMPL")
    for name in LOWERED:
        some.impl(name, _lowered(name), "AutocastPrivateUse1")
    for overload in RESIZED.overloads():
        # By default an empty tensor is made and resized.
        if not overload.endswith("out"):
            operator = getattr(RESIZED, overload)
            some.impl(operator.name().removeprefix("aten::"), partial(run, operator), "PrivateUse1")
    return [everything, some]


try:
    _LIBRARIES = _register()
except (AttributeError, ImportError, RuntimeError) as error:
    REASON = f"torch {torch.__version__} lacks the private parts of a device in Python: {error}"
