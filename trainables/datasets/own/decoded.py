"""Decoded images and masks, made once per machine and mapped into memory by every process that needs them."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from posixpath import basename
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, UInt8, UInt16

from trainables.core.errors import ConfigurationError, Problems
from trainables.core.files import Files
from trainables.core.streams import numpy_stream
from trainables.datasets import decoding
from trainables.datasets.own import prepare
from trainables.datasets.own.image_file import UPRIGHT, UnreadableImageError, decode
from trainables.datasets.own.table import Row

WHITE, STEP = 65535, 257
"""Value of 1.0 in 16 bits: 8- and 16-bit values are recovered exactly, others to 1e-5; and of 1/255, as of 8 bits."""
READER_VERSION = 1
"""Increase it when the same files are read as different pixels. It is part of trial keys."""
LAYOUT = 6
"""Increase it when the cached files change, or images that may be cached are refused, and pixels stay the same."""
LENGTH, READERS = 32, 16
"""Digits of a digest; files read at the same time, as reading from S3 is mostly waiting."""
SMALLEST_SIZE, LARGEST_SIZE = 8, 1024
"""Sides in pixels of an image."""
LARGEST_NATIVE, SAMPLE = 64, 64
"""Side in pixels up to which images keep their size by default; images that are searched for colour."""
LONGISH = 1.5
"""Ratio of the sides above a camera's."""

Source = Callable[[], tuple[Sequence[Row], Files]]


def content_digest(rows: Sequence[Row], files: Files) -> str:
    """Hex digest of the rows in order, each with the SHA-256 of its image's and its mask's bytes.

    It is part of a trial's key, so that changed data make new trials. Names and places do not enter.
    """

    def digested(row: Row) -> list[Any] | str:
        name = f"image {basename(row.image)}"
        try:
            image = files.digest(row.image)
            name = f"mask of {name}"
            mask = files.digest(row.mask) if row.mask else None
        except ConfigurationError as error:
            return f"{row.where}: {name}: {error}"
        return [image, mask, row.boxes, row.boxes_side, row.ellipse, row.label, row.group, row.subject, row.split]

    with ThreadPoolExecutor(READERS) as pool:
        lines = list(decoding.tracked(pool.map(digested, rows), len(rows), "Hashing images"))
    Problems(line for line in lines if isinstance(line, str)).check()
    files.keep_digests()
    text = json.dumps([READER_VERSION, lines], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


@dataclass(frozen=True, eq=False)
class Decoded:
    """All images of a dataset, row by row, in arrays that are mapped from a file."""

    rows: list[Row]
    pixels: UInt8[np.ndarray, "rows channels height width"] | UInt16[np.ndarray, "rows channels height width"]
    """The greatest value of the type is 1.0. 8 bits where they hold all values exactly: the files have 8 bits and are
    not resized, as resizing gives values between those of 8 bits."""
    masks: Bool[np.ndarray, "rows height width"]
    """False everywhere for an image without a mask."""
    stored: pd.DataFrame
    """For each image `width`, `height` (upright), `kind`, `colour`, `turned`, whether programs turn it, and `masked`,
    whether any pixel is inside its mask."""

    @property
    def masked(self) -> Bool[np.ndarray, " rows"]:
        return self.stored.masked.to_numpy()


def notes(decoded: Decoded, options: Any) -> Iterator[str]:
    """How many images were converted, and how; and how to keep detail, colour or shape that was lost."""
    stored, side, channels = decoded.stored, options.image_size, options.channels
    is_rgb = stored.kind.str.contains("RGB")
    bits = pd.to_numeric(stored.kind.str.extract(r"^(\d+)-bit", expand=False))
    changes = {
        "turned upright as their EXIF orientation says": stored.turned,
        "lose an opaque alpha channel": stored.kind.str.endswith(("RGBA", "with alpha")),
        "from colour to grey": is_rgb & (channels == 1),
        "from grey to three channels": ~is_rgb & (channels == 3),
        f"of more than 8 bits to [0, 1] (pixel_range={options.pixel_range})": bits > 8,
        f"resized to {side} x {side} (fit={options.fit})": (stored.width != side) | (stored.height != side),
    }
    counted = ", ".join(f"{changed.sum()} {change}" for change, changed in changes.items() if changed.any())
    if counted:
        yield f"Converted: {counted}"
    n, sides = len(stored), stored[["width", "height"]]
    longer, shorter = sides.max(axis=1), sides.min(axis=1)
    if longer.max() > side:
        largest = stored.iloc[np.lexsort((shorter, longer))[-1]]
        yield (
            f"Size: {(longer > side).sum()} of {n} images are larger than {side} x {side} pixels (up to "
            f"{largest.width} x {largest.height}) and are shrunk, so fine detail is lost; a larger image_size, for "
            f"example {min(longer.max(), 2 * side, LARGEST_SIZE)}, keeps more of it and takes more time"
        )
    if colour := stored.colour.sum():
        fates = {1: "lose them (channels=1); channels=3 keeps them", 3: "keep them (channels=3); channels=1 drops them"}
        yield f"Colour: {colour} of {n} images have colours and {fates[channels]}"
    ratios = longer / shorter
    if options.fit == "stretch" and ratios.max() > LONGISH:
        image, row = stored.iloc[ratios.argmax()], decoded.rows[ratios.argmax()]
        yield (
            f"Shape: {(ratios > LONGISH).sum()} of {n} images are squeezed into a square, most of all {row.image} "
            f"({row.where}), {image.width} x {image.height} pixels, by {ratios.max():.3g} to 1; fit=pad or fit=crop "
            "keeps their shape"
        )


def load_decoded(options: Any, read: Source) -> Decoded:
    """Load the decoded images of a dataset with these complete options from the cache, else from their files."""
    return _mapped(decoded_folder(options, read))


def decoded_folder(options: Any, read: Source) -> Path:
    """The cache folder of these images, which are decoded if need be."""
    form = [options.content, options.image_size, options.channels, options.pixel_range, options.fit]
    return decoding.decoded_folder([*form, READER_VERSION, LAYOUT], lambda folder: _write(folder, options, *read()))


@lru_cache(maxsize=4)
def _mapped(folder: Path) -> Decoded:
    rows = [Row(**row) for row in json.loads((folder / "rows.json").read_bytes())]
    pixels, masks = (decoding.mapped(folder / f"{name}.npy") for name in ("pixels", "masks"))
    return Decoded(rows, pixels, masks, pd.DataFrame(json.loads((folder / "stored.json").read_bytes())))


def _write(folder: Path, options: Any, rows: Sequence[Row], files: Files) -> None:
    """Write pixels.npy, masks.npy, rows.json and stored.json."""
    shape = (len(rows), options.channels, options.image_size, options.image_size)
    pixels = decoding.allocated(folder / "pixels.npy", np.uint16, shape)
    masks = decoding.allocated(folder / "masks.npy", np.bool_, (len(rows), *shape[2:]))
    has_8_bits = np.zeros(len(rows), dtype=bool)
    stored: list[dict[str, object]] = [{} for _ in rows]

    def decode_into(i: int) -> None:
        image, masks[i], stored[i] = _decode_row(rows[i], options, files)
        pixels[i] = np.rint(image * WHITE).astype(np.uint16)
        has_8_bits[i] = not (pixels[i] % STEP).any()

    decoding.decode_all(decode_into, len(rows), "Decoding images")
    if has_8_bits.all():
        narrow = decoding.allocated(folder / "narrow.npy", np.uint8, shape)
        for image, wide in zip(narrow, pixels, strict=True):
            image[:] = wide // STEP
        (folder / "narrow.npy").replace(folder / "pixels.npy")
    # The same content may be in another folder, so names are cached without theirs.
    rows = [replace(row, where=basename(row.where), image=basename(row.image)) for row in rows]
    fields = ("where", "image", "label", "group", "subject", "split")
    (folder / "rows.json").write_text(json.dumps([{name: getattr(row, name) for name in fields} for row in rows]))
    (folder / "stored.json").write_text(json.dumps(stored))


def _decode_row(row: Row, options: Any, files: Files) -> tuple[np.ndarray, np.ndarray, dict[str, object]]:
    """A row's image [channels, side, side], with values in [0, 1], its mask, and its row of `Decoded.stored`."""
    name, size = row.image, options.image_size
    try:
        image = decode(files.read(row.image), row.image)
        upright = image.upright
        height, width = upright.values.shape[:2]
        scaled = prepare.scale(upright, options.pixel_range)
        pixels = prepare.fitted(prepare.with_channels(scaled, options.channels), size, options.fit)
        turned = image.orientation != UPRIGHT
        if row.mask is not None:
            name = f"mask {row.mask}"
            region = prepare.inside(prepare.upright_mask(decode(files.read(row.mask), row.mask), image), height, width)
        elif row.ellipse is not None:
            region = prepare.ellipse_inside(row.ellipse, height, width)
        else:
            name = f"boxes of {row.image}"
            if row.boxes and turned:
                raise UnreadableImageError(
                    f"may count pixels as stored or as shown, as the image is stored turned or mirrored (EXIF "
                    f"orientation {image.orientation}); save it upright, with boxes in its pixels"
                )
            region = prepare.boxes_inside(row.boxes, height, width, row.boxes_side)
        mask = prepare.fitted_mask(region, size, options.fit)
        stored = {"width": width, "height": height, "kind": image.kind, "colour": image.has_colour, "turned": turned}
        return pixels, mask, {**stored, "masked": bool(mask.any())}
    except UnreadableImageError as error:
        raise ConfigurationError(f"{row.where}: {name} {error}") from None


_NATIVE: dict[str, tuple[int, int]] = {}


def native_form(content: str, read: Source) -> tuple[int, int]:
    """Side in pixels and channels that images get by default.

    The side is the longer one of the images' if all share one size of at most `LARGEST_NATIVE`, else that. Channels
    are 3 if at least half of `SAMPLE` images have colour, else 1. Reading ends after the sample at the first image that
    is larger or differs. An unreadable image differs and has no colour; decoding reports it.
    """
    if content in _NATIVE:
        return _NATIVE[content]
    rows, files = read()
    sizes, colour = set[tuple[int, ...]](), 0
    for i, place in enumerate(numpy_stream("own colour", 0).permutation(len(rows))):
        if i >= SAMPLE and (len(sizes) > 1 or max(map(max, sizes)) > LARGEST_NATIVE):
            break
        try:
            image = decode(files.read(rows[place].image), rows[place].image).upright
            sizes.add(image.values.shape[:2])
            colour += i < SAMPLE and image.has_colour
        except UnreadableImageError:
            sizes.add((LARGEST_NATIVE + 1,))
    longest = max(map(max, sizes))
    side = max(SMALLEST_SIZE, longest) if len(sizes) == 1 and longest <= LARGEST_NATIVE else LARGEST_NATIVE
    _NATIVE[content] = side, 3 if colour and 2 * colour >= min(len(rows), SAMPLE) else 1
    return _NATIVE[content]
