"""Images and masks that stay on disk: tensors of any length, of which only the indexed part is read."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8, UInt16
from torch import Tensor

from trainables.core.errors import ConfigurationError
from trainables.core.files import cache_folder

Index = Int[Tensor, "_"] | slice


@dataclass(frozen=True, repr=False)
class Mapped:
    """What indexing gives is a tensor like those of `images[index]`, made anew each time from what is on disk."""

    shape: torch.Size
    dtype: torch.dtype
    read: Callable[[Tensor], Any]
    """What is on disk of the items with these numbers: a tensor, or a tuple of such."""
    finish: Callable[[Any], Tensor]
    """Makes the items of what was read, on any device, each from its own part alone."""

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Tensor:
        numbers = self.numbers(index)
        return self.finish(self.read(numbers)) if numbers.ndim else self[numbers[None]][0]

    def __repr__(self) -> str:
        return f"<Mapped {self.dtype} {list(self.shape)}>"

    def numbers(self, index: Any) -> Int[Tensor, "..."]:
        return _counted(len(self))[index]


Source = Tensor | Mapped
Images = Float[Source, "images channels height width"]
Pixels = Bool[Source, "images 1 height width"]


def mapped_array(array: Shaped[np.ndarray, "items *shape"]) -> Mapped:
    """The items of an array that is mapped from a file, copy-on-write ("c"), as torch knows no read-only arrays."""
    # torch selects no items of uint16.
    stored = torch.from_numpy(array.view(np.int16) if array.dtype == np.uint16 else array)
    dtype = torch.uint16 if array.dtype == np.uint16 else stored.dtype
    return Mapped(torch.Size(array.shape), dtype, partial(stored.index_select, 0), lambda read: read.view(dtype))


def unit_images(pixels: UInt8[Source, "*shape"] | UInt16[Source, "*shape"]) -> Float[Source, "*shape"]:
    """Stored pixels as values in [0, 1]."""
    white = 255.0 if pixels.dtype == torch.uint8 else 65535.0
    # A GPU multiplies by the reciprocal of a number, which differs in the last bit, but divides by a tensor.
    return derived(lambda stored: stored.to(torch.float32).div_(torch.tensor([white], device=stored.device)), pixels)


def derived(function: Callable[..., Tensor], *sources: Source) -> Any:
    """`function` of the sources, item by item: at once if all are tensors, else of those that are read."""
    if not any(isinstance(source, Mapped) for source in sources):
        return function(*sources)
    several = [source if isinstance(source, Mapped) else _held(source) for source in sources]
    example = function(*(source[:1] for source in several))
    return Mapped(
        torch.Size([len(several[0]), *example.shape[1:]]),
        example.dtype,
        lambda numbers: tuple(source.read(numbers) for source in several),
        lambda read: function(*(source.finish(part) for source, part in zip(several, read, strict=True))),
    )


def taken(source: Source, index: Int[Tensor, " items"]) -> Any:
    """The items of a source at `index`, in its order."""
    if isinstance(source, Tensor):
        return source[index]
    shape = torch.Size([len(index), *source.shape[1:]])
    return Mapped(shape, source.dtype, lambda numbers: source.read(index[numbers]), source.finish)


def in_memory(source: Source) -> Tensor:
    return source[:]


def batches(sources: Iterable[Source], indices: Iterable[Index], device: torch.device) -> Iterator[tuple[Tensor, ...]]:
    """The sources' items at each index, on `device`. What is on disk is read one index ahead, in a thread."""
    sources = tuple(sources)
    if not any(isinstance(source, Mapped) for source in sources):
        yield from (tuple(source[index].to(device) for source in sources) for index in indices)
        return
    several = [source if isinstance(source, Mapped) else _held(source) for source in sources]
    pinned = device.type == "cuda"

    def read(index: Index) -> list[Any]:
        parts = [source.read(source.numbers(index)) for source in several]
        return [_each(Tensor.pin_memory, part) for part in parts] if pinned else parts

    def finished(parts: list[Any]) -> tuple[Tensor, ...]:
        there = (_each(lambda part: part.to(device, non_blocking=pinned), part) for part in parts)
        return tuple(source.finish(part) for source, part in zip(several, there, strict=True))

    with ThreadPoolExecutor(1) as pool:
        ahead = None
        for index in indices:
            present, ahead = ahead, pool.submit(read, index)
            if present:
                yield finished(present.result())
        if ahead:
            yield finished(ahead.result())


def scratch(like: Source) -> Tensor:
    """A tensor of zeros of this shape and type; for a source on disk, in a file that ends with the process.

    Raises:
        ConfigurationError: the disk is full.
    """
    if isinstance(like, Tensor):
        return torch.zeros_like(like)
    folder, size = cache_folder("decoded"), like.shape.numel() * like.dtype.itemsize
    try:
        with TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            return torch.from_numpy(np.memmap(file, np.uint8, "w+", shape=(size,))).view(like.dtype).view(like.shape)
    except OSError as error:
        raise ConfigurationError(f"cannot write {size:,} bytes to {folder}: {error.strerror}") from None


@lru_cache
def _counted(n: int) -> Tensor:
    return torch.arange(n)


def _held(tensor: Tensor) -> Mapped:
    return Mapped(tensor.shape, tensor.dtype, lambda numbers: tensor[numbers], lambda read: read)


def _each(function: Callable[[Tensor], Tensor], read: Any) -> Any:
    """`function` of each tensor of what was read."""
    return function(read) if isinstance(read, Tensor) else tuple(_each(function, part) for part in read)
