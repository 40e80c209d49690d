"""What the files of a dataset are, in lines of text: rows, labels, groups, masks, conversions, and files not in use."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool

from trainables.datasets.own.decoded import Decoded
from trainables.datasets.own.files import Files, join, parent
from trainables.datasets.own.images import OwnImages
from trainables.datasets.own.places import MASK_FOLDERS, SUFFIXES, Folder

SHOWN = 5
"""Names in a line."""
MANY = 10
"""Fewest boxes that are taken for corners if all of them look like corners."""


def summary(dataset: OwnImages) -> Iterator[str]:
    """Lines on all rows of the table, whether or not a split has them."""
    decoded, meaning = dataset.decoded(), dataset.meaning()
    rows = decoded.rows
    subjects = {row.subject for row in rows if row.subject is not None}
    yield f"{len(rows)} rows, {f'{len(subjects)} subjects' if subjects else 'no column subject: each row is one'}"
    yield from _files(decoded, dataset)
    for i, label in enumerate(meaning.labels):
        of_label: Bool[np.ndarray, " rows"] = np.array([row.label == label for row in rows])
        yield f"Label {label!r} is class {i}: {of_label.sum()} images, {_masks(decoded, of_label)}"
    boxes = [box for row in dataset.read(dataset.options)[0] if row.boxes_side is None for box in row.boxes]
    if len(boxes) >= MANY and all(box.width > box.x and box.height > box.y for box in boxes):
        yield (
            f"Warning: all {len(boxes)} boxes have a width above x and a height above y, as the corners x1 y1 x2 y2 "
            "have; boxes are 'x y width height', so look at the picture"
        )
    if isinstance(dataset, Folder):
        unused = unused_files(dataset)
        if unused:
            yield f"Not in use, as no row names them: {some(unused)}"
    if meaning.groups is None:
        yield "No groups: the shift is the one between the splits, severity must be 1"
        return
    for group, cue in meaning.groups.items():
        counts = (sum(row.group == group and row.label == label for row in rows) for label in meaning.labels)
        cells = ", ".join(f"{n} {label}" for n, label in zip(counts, meaning.labels, strict=True))
        yield f"Group {group!r} goes with {meaning.labels[cue]!r} in training; it has {cells}"


def _files(decoded: Decoded, dataset: OwnImages) -> Iterator[str]:
    """How images are stored, and what was converted."""
    stored = decoded.stored
    sizes = sorted({(image.width, image.height) for image in stored}, key=lambda size: (size[0] * size[1], size))
    first, last = (f"{width} x {height}" for width, height in (sizes[0], sizes[-1]))
    kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(image.kind for image in stored).most_common())
    yield f"Files: {kinds}; {f'{first} pixels' if len(sizes) == 1 else f'{len(sizes)} sizes, {first} to {last} pixels'}"
    yield from dataset.notes() or ("Converted: nothing",)


def _masks(decoded: Decoded, of_label: Bool[np.ndarray, " rows"]) -> str:
    """How many images of a label have a mask; if few lack one, which."""
    lacking = np.flatnonzero(of_label & ~np.any(decoded.masks, axis=(1, 2)))
    if not len(lacking):
        return "all with a mask"
    if len(lacking) == of_label.sum():
        return "none with a mask"
    names = [f"{decoded.rows[i].image} (row {decoded.rows[i].where.rsplit(' ', 1)[-1]})" for i in lacking]
    return f"{len(lacking)} with no mask or an empty one: {some(names)}"


def unused_files(dataset: Folder) -> list[str]:
    """Images and masks in the folders of a dataset that no row names, as paths from the dataset's folder."""
    rows, files = dataset.read(dataset.options)
    used = {location for row in rows for location in (row.image, row.mask) if location}
    folders = {parent(location) for location in used} | {
        join(dataset.place, kind) for kind in ("images", *MASK_FOLDERS)
    }
    present = (join(folder, name) for folder in folders for name in _images(files, folder))
    return sorted(location.removeprefix(f"{dataset.place}/") for location in set(present) - used)


def _images(files: Files, folder: str) -> Iterator[str]:
    return (name for name in files.names(folder) if name.lower().endswith(SUFFIXES))


def some(names: Sequence[str]) -> str:
    """The first few names, and the number of the others."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
