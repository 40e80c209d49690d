"""Decoded images and masks, made once per machine and mapped into memory by every process that needs them."""

import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np
from jaxtyping import Bool, Float, UInt16

from trainables.core.errors import ConfigurationError
from trainables.core.streams import numpy_stream
from trainables.datasets.own.files import READER_VERSION, Files, cache_folder
from trainables.datasets.own.image_file import UPRIGHT, UnreadableImageError, decode
from trainables.datasets.own.prepare import (
    boxes_inside,
    ellipse_inside,
    fitted,
    fitted_mask,
    inside,
    scale,
    upright_mask,
    with_channels,
)
from trainables.datasets.own.table import SHOWN, Problems, Row

WHITE = 65535
"""Stored value of 1.0: 8- and 16-bit values are recovered exactly, others to 1e-5."""
LAYOUT = 4
"""Increase it when the cached files change, or images that may be cached are refused, and pixels do not change: unlike
READER_VERSION it makes no new trials."""
SMALLEST_SIZE = 8
"""Least side in pixels of an image."""
LARGEST_SIZE = 1024
"""Greatest side in pixels of an image."""
LARGEST_NATIVE = 64
"""Side in pixels up to which images keep their size by default."""
SAMPLE = 64
"""Images that are looked at for colour before training: all of a large set would take minutes to decode."""
LONGISH = 1.5
"""Ratio of the sides from which a square image looks squeezed: above that of a camera's photographs."""
ABANDONED = 24 * 3600.0
"""Seconds after which a folder of images being decoded is that of a killed process: decoding takes minutes to hours."""


@dataclass(frozen=True)
class Form:
    """How files become images. With the content it determines every pixel."""

    image_size: int
    channels: int
    pixel_range: str
    fit: str


@dataclass(frozen=True)
class Stored:
    """How an image is stored in its file: size in pixels, upright, and bits and channels as in `ImageFile.kind`."""

    width: int
    height: int
    kind: str
    colour: bool
    """As in `ImageFile.has_colour`."""
    turned: bool
    """Whether programs turn the image before they show it."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """All images of a dataset, row by row, in read-only arrays that may be mapped from a file."""

    rows: list[Row]
    pixels: UInt16[np.ndarray, "rows channels height width"]
    masks: Bool[np.ndarray, "rows height width"]
    """False everywhere for an image without a mask."""
    stored: list[Stored]
    """How each image is stored in its file."""

    def images(self, index: np.ndarray) -> Float[np.ndarray, "images channels height width"]:
        """Pixel values in [0, 1] of the rows in `index`."""
        return self.pixels[index].astype(np.float32) / np.float32(WHITE)


def conversions(decoded: Decoded, form: Form) -> dict[str, int]:
    """How many images were changed on the way to the form, by how."""
    stored = decoded.stored
    channels, side = decoded.pixels.shape[1:3]
    colour = sum("RGB" in image.kind for image in stored)
    changes = {
        "turned upright as their EXIF orientation says": sum(image.turned for image in stored),
        "lose an opaque alpha channel": sum(image.kind.endswith(("RGBA", "with alpha")) for image in stored),
        "from colour to grey": colour if channels == 1 else 0,
        "from grey to three channels": len(stored) - colour if channels == 3 else 0,
        f"of more than 8 bits to [0, 1] (pixel_range={form.pixel_range})": sum(
            _bits(image.kind) > 8 for image in stored
        ),
        f"resized to {side} x {side} (fit={form.fit})": sum(
            (image.width, image.height) != (side, side) for image in stored
        ),
    }
    return {change: n for change, n in changes.items() if n}


def choices(decoded: Decoded, form: Form) -> Iterator[str]:
    """What size, colours and shape images have, where files had more, and how to change it."""
    stored, side = decoded.stored, form.image_size
    largest = max(stored, key=lambda image: (max(image.width, image.height), image.width * image.height))
    if (longest := max(largest.width, largest.height)) > side:
        n = sum(max(image.width, image.height) > side for image in stored)
        yield (
            f"Size: {n} of {len(stored)} images are larger than {side} x {side} pixels (up to {largest.width} x "
            f"{largest.height}) and are shrunk to it, so fine detail is lost; a larger image_size, for example "
            f"{min(longest, 2 * side, LARGEST_SIZE)}, keeps more of it. Time grows with the number of pixels, so the "
            f"default is at most {LARGEST_NATIVE}"
        )
    colour = sum(image.colour for image in stored)
    if colour and form.channels == 3:
        yield (
            f"Colour: {colour} of {len(stored)} images have colours and keep them (channels=3); channels=1 makes them "
            "grey, and continues trials that were grey"
        )
    elif colour:
        yield f"Colour: {colour} of {len(stored)} images have colours and lose them (channels=1); channels=3 keeps them"
    ratios = [max(image.width, image.height) / min(image.width, image.height) for image in stored]
    if form.fit == "stretch" and max(ratios) > LONGISH:
        worst = int(np.argmax(ratios))
        image, row = stored[worst], decoded.rows[worst]
        yield (
            f"Shape: {sum(ratio > LONGISH for ratio in ratios)} of {len(stored)} images are squeezed into a square, "
            f"most of all {row.image} ({row.where}), {image.width} x {image.height} pixels, by {ratios[worst]:.3g} to "
            "1; fit=pad or fit=crop keeps their shape"
        )


def _bits(kind: str) -> int:
    """Bits of whole numbers; 0 for floating-point ones."""
    bits, _, _ = kind.partition("-bit")
    return int(bits) if bits.isdecimal() else 0


def load_decoded(content: str, form: Form, read: Callable[[], tuple[Sequence[Row], Files]]) -> Decoded:
    """Load the decoded images of `content` from this process, else from the user's cache, else from their files.

    Args:
        content: digest of rows and files.
        form: how to decode them.
        read: returns rows and files if they are needed, and checks that they have that digest.

    Raises:
        ConfigurationError: an image or mask cannot be used; the message names file and row.
    """
    key = hashlib.sha256(json.dumps([content, asdict(form), READER_VERSION, LAYOUT]).encode()).hexdigest()[:32]
    folder = cache_folder("decoded")
    if folder is None:
        return _decoded_here(key, form, read)
    if not (folder / key / "rows.json").is_file():
        _build(folder, key, form, *read())
    return _mapped(folder / key)


@lru_cache(maxsize=4)
def _mapped(folder: Path) -> Decoded:
    return _read(folder, "r")


def _read(folder: Path, mmap_mode: Literal["r"] | None) -> Decoded:
    rows = [Row(**row) for row in json.loads((folder / "rows.json").read_bytes())]
    stored = [Stored(**image) for image in json.loads((folder / "stored.json").read_bytes())]
    pixels, masks = (np.load(folder / f"{name}.npy", mmap_mode, allow_pickle=False) for name in ("pixels", "masks"))
    return Decoded(rows, pixels, masks, stored)


_HERE: dict[str, Decoded] = {}


def _decoded_here(key: str, form: Form, read: Callable[[], tuple[Sequence[Row], Files]]) -> Decoded:
    """Decode into memory where no cache can be written; only the latest dataset is kept."""
    if key not in _HERE:
        with tempfile.TemporaryDirectory() as folder:
            _build(Path(folder), key, form, *read())
            _HERE.clear()
            _HERE[key] = _read(Path(folder) / key, None)
    return _HERE[key]


def _build(folder: Path, key: str, form: Form, rows: Sequence[Row], files: Files) -> None:
    """Decode all rows into `folder/key` atomically; of several processes the first one wins."""
    _clear_abandoned(folder)
    partial = folder / f".{key}-{uuid4().hex}"
    partial.mkdir()
    try:
        _decode_rows(partial, form, rows, files)
        (partial / "rows.json").write_text(json.dumps([_without_folders(row) for row in rows]))
        try:
            partial.rename(folder / key)
        except OSError:
            if not (folder / key / "rows.json").is_file():
                raise
    except OSError as error:
        raise ConfigurationError(
            f"cannot write decoded images to {folder}: {error.strerror}; free disk space, or set XDG_CACHE_HOME to "
            "another folder"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _clear_abandoned(folder: Path) -> None:
    """Remove what killed processes left of images that they were decoding."""
    for partial in folder.glob(".*-*"):
        # Another process may have removed it meanwhile, or finished and renamed it.
        with suppress(FileNotFoundError):
            if time.time() - partial.stat().st_mtime > ABANDONED:
                shutil.rmtree(partial, ignore_errors=True)


def _without_folders(row: Row) -> dict[str, Any]:
    """What is cached of a row: the same content may be in another folder."""
    names = {name: getattr(row, name).rsplit("/", 1)[-1] for name in ("where", "image")}
    return {**names, **{name: getattr(row, name) for name in ("label", "group", "subject", "split")}}


def _decode_rows(folder: Path, form: Form, rows: Sequence[Row], files: Files) -> None:
    """Write pixels.npy, masks.npy and stored.json, one thread per processor."""
    shape = (len(rows), form.channels, form.image_size, form.image_size)
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", "w+", np.dtype(np.uint16), shape)
    masks = np.lib.format.open_memmap(folder / "masks.npy", "w+", np.dtype(np.bool_), (len(rows), *shape[2:]))
    for name in ("pixels.npy", "masks.npy"):
        _allocate(folder / name)
    problems = Problems()
    stored: list[Stored | None] = [None] * len(rows)

    def decode_into(i: int) -> str | None:
        if len(problems) > SHOWN:
            return None
        try:
            image, masks[i], stored[i] = decode_row(rows[i], form, files)
        except ConfigurationError as error:
            return str(error)
        pixels[i] = np.rint(image * WHITE).astype(np.uint16)
        return None

    # Libraries warn of damage that they repair. Warning filters are shared by all threads, so set them around the pool.
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")
        for message in pool.map(decode_into, range(len(rows))):
            if message is not None:
                problems.append(message)
    problems.check()
    pixels.flush()
    masks.flush()
    (folder / "stored.json").write_text(json.dumps([asdict(image) for image in stored if image is not None]))


def _allocate(path: Path) -> None:
    """Allocate a file's blocks: on a full disk, writing to mapped memory would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def decode_row(
    row: Row, form: Form, files: Files
) -> tuple[Float[np.ndarray, "channels height width"], Bool[np.ndarray, "height width"], Stored]:
    """Decode a row's image, with values in [0, 1], and its mask, both square; and how the image is stored.

    Raises:
        ConfigurationError: one of them cannot be used; the message names file and row.
    """
    name = row.image
    try:
        image = decode(files.read(row.image), row.image)
        upright = image.upright
        height, width = upright.values.shape[:2]
        pixels = fitted(with_channels(scale(upright, form.pixel_range), form.channels), form.image_size, form.fit)
        turned = image.orientation != UPRIGHT
        if row.mask is not None:
            name = f"mask {row.mask}"
            region = inside(upright_mask(decode(files.read(row.mask), row.mask), image), height, width)
        elif row.ellipse is not None:
            region = ellipse_inside(row.ellipse, height, width)
        else:
            name = f"boxes of {row.image}"
            if row.boxes and turned:
                raise UnreadableImageError(
                    f"may count pixels as stored or as shown: the image is stored turned or mirrored (EXIF orientation "
                    f"{image.orientation}); save the image upright, with boxes in its pixels"
                )
            region = boxes_inside(row.boxes, height, width, row.boxes_side)
        stored = Stored(width, height, image.kind, image.has_colour, turned)
        return pixels, fitted_mask(region, form.image_size, form.fit), stored
    except UnreadableImageError as error:
        raise ConfigurationError(f"{row.where}: {name} {error}") from None


_NATIVE: dict[str, tuple[int, int]] = {}


def native_form(content: str, read: Callable[[], tuple[Sequence[Row], Files]]) -> tuple[int, int]:
    """Side in pixels and channels that images get by default.

    The side is the images' own, the longer one, if all share one size of at most `LARGEST_NATIVE`, else that. Channels
    are 3 if at least half of `SAMPLE` images, or of all if they are fewer, have colour, else 1. Reading ends at the
    first image that is larger or differs and the sample, so that large images cost little. An unreadable image differs
    and has no colour; decoding reports it.

    Args:
        content: digest of rows and files, on which alone the form depends.
        read: as in `load_decoded`.
    """
    if content not in _NATIVE:
        _NATIVE[content] = _native_form(*read())
    return _NATIVE[content]


def _native_form(rows: Sequence[Row], files: Files) -> tuple[int, int]:
    order = numpy_stream("own colour", 0).permutation(len(rows))
    shape: tuple[int, ...] | None = None
    same, colour = True, 0
    for i, place in enumerate(order):
        if i >= SAMPLE and not same:
            break
        try:
            image = decode(files.read(rows[place].image), rows[place].image).upright
        except UnreadableImageError:
            same = False
            continue
        size = image.values.shape[:2]
        shape = shape or size
        same = same and size == shape and max(size) <= LARGEST_NATIVE
        colour += i < SAMPLE and image.has_colour
    side = max(SMALLEST_SIZE, *shape) if same and shape else LARGEST_NATIVE
    return side, 3 if colour and 2 * colour >= min(len(rows), SAMPLE) else 1
