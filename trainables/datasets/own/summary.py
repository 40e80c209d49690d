"""Describes the files of a dataset in lines of text: rows, labels, groups, masks, conversions and unused files."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from trainables.datasets.own.files import join, parent
from trainables.datasets.own.images import OwnImages
from trainables.datasets.own.places import MASK_FOLDERS, SUFFIXES, Folder

SHOWN = 5
"""Names in a line."""
MANY = 10
"""Fewest boxes that are taken for corners if all of them look like corners."""


def summary(dataset: OwnImages) -> Iterator[str]:
    """Lines on all rows of the table, whether or not a split has them."""
    decoded, meaning = dataset.decoded(), dataset.meaning()
    rows, stored = decoded.rows, decoded.stored
    subjects = {row.subject for row in rows if row.subject is not None}
    yield f"{len(rows)} rows, {f'{len(subjects)} subjects' if subjects else 'no column subject: each row is one'}"
    kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(stored.kind).most_common())
    sizes = sorted(set(zip(stored.width, stored.height, strict=True)), key=lambda size: (size[0] * size[1], size))
    first, last = (f"{width} x {height}" for width, height in (sizes[0], sizes[-1]))
    yield f"Files: {kinds}; {first if len(sizes) == 1 else f'{len(sizes)} sizes, {first} to {last}'} pixels"
    yield from dataset.notes() or ["Converted: nothing"]
    masked = np.any(decoded.masks, axis=(1, 2))
    for i, label in enumerate(meaning.class_names):
        of_label = meaning.labels == i
        names = [
            f"{rows[n].image} (row {rows[n].where.rpartition(' ')[2]})" for n in np.flatnonzero(of_label & ~masked)
        ]
        masks = f"{len(names)} with no mask or an empty one: {_some(names)}" if names else "all with a mask"
        if len(names) == of_label.sum():
            masks = "none with a mask"
        yield f"Label {label!r} is class {i}: {of_label.sum()} images, {masks}"
    files_rows, files = dataset.read(dataset.options)
    boxes = [box for row in files_rows if row.boxes_side is None for box in row.boxes]
    if len(boxes) >= MANY and all(box.width > box.x and box.height > box.y for box in boxes):
        yield (
            f"Warning: all {len(boxes)} boxes have a width above x and a height above y, as the corners x1 y1 x2 y2 "
            "have; boxes are 'x y width height', so look at the picture"
        )
    if isinstance(dataset, Folder):
        used = {location for row in files_rows for location in (row.image, row.mask) if location}
        folders = {*map(parent, used), *(join(dataset.place, kind) for kind in ("images", *MASK_FOLDERS))}
        present = {join(folder, name) for folder in folders for name in files.names(folder)}
        unused = sorted(name for name in present - used if name.lower().endswith(SUFFIXES))
        if unused:
            short = [name.removeprefix(f"{dataset.place}/") for name in unused]
            yield f"Not in use, as no row names them: {_some(short)}"
    if not meaning.groups:
        yield "No groups: the shift is the one between the splits, severity must be 1"
    for group, cue in meaning.groups.items():
        counts = Counter(row.label for row in rows if row.group == group)
        cells = ", ".join(f"{counts[label]} {label}" for label in meaning.class_names)
        yield f"Group {group!r} goes with {meaning.class_names[cue]!r} in training; it has {cells}"


def _some(names: Sequence[str]) -> str:
    """The first few names, and the number of the others."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
