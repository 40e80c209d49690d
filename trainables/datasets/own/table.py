"""The table of a dataset: a CSV with one row per image."""

import csv
import difflib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from trainables.core.errors import ConfigurationError

SHOWN = 3


class Problems(list[str]):
    """Error messages collected, so that a user sees several at a time; each names file and row and how to fix it."""

    def check(self) -> None:
        """
        Raises:
            ConfigurationError: there are problems; it has the first few messages and the number of the others.
        """
        if self:
            more = len(self) - SHOWN
            text = "; ".join(self[:SHOWN])
            raise ConfigurationError(f"{text}; and {more} more" if more > 0 else text)


COLUMNS = {
    "image": ("image", "file"),
    "label": ("label", "class"),
    "mask": ("mask",),
    "boxes": ("boxes",),
    "group": ("group",),
    "subject": ("subject",),
    "split": ("split",),
}
"""Known columns, each with the names it may have."""
NEEDED = ("image", "label")
MAY_BE_EMPTY = ("mask", "boxes")
POOLS = ("train", "valid", "test")
"""Parts of the data from which the five splits are drawn."""
POOL_NAMES = {"val": "valid", "validation": "valid"}


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of its image: left and upper edge from 0, width and height."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Row:
    """One image as its table describes it. `where` names file and row for messages; the header is row 1."""

    where: str
    image: str
    label: str
    mask: str | None = None
    boxes: tuple[Box, ...] = ()
    boxes_side: int | None = None
    """Height and width in pixels of the image on which `boxes` were drawn; None for this image."""
    ellipse: float | None = None
    """If given, the mask is a centred ellipse whose radii are the image's sides divided by this."""
    group: str | None = None
    subject: str | None = None
    split: str | None = None


def read_table(text: str, name: str, ignored: Sequence[str], problems: Problems, split: str | None = None) -> list[Row]:
    """Read the rows of a CSV with a header.

    Required columns: image (or file) and label (or class). Optional: mask, boxes, group, subject and split. An empty
    cell of mask or boxes means that the image has no mask. `boxes` are "x y width height" in pixels of the image,
    several separated by semicolons.

    Args:
        text: content of the file.
        name: the file's name, for messages.
        ignored: columns to ignore; "*" for all unknown ones.
        problems: collects errors, with file and row.
        split: the split of all rows, if the file is that of one split.
    """
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    header = next(reader, [])
    columns = _columns(header, name, ignored, problems)
    if columns is None:
        return []
    if split is not None and "split" in columns:
        problems.append(
            f"{name} has a column 'split', but its name says {split!r}; remove the column or rename the file"
        )
    rows = []
    for cells in filter(None, reader):
        where = f"{name} row {reader.line_num}"
        if len(cells) != len(header):
            problems.append(f"{where} has {len(cells)} cells, the header {len(header)}; fix the row")
            continue
        row = _row({field: cells[column].strip() for field, column in columns.items()}, where, problems)
        if row is not None:
            rows.append(replace(row, split=split) if split else row)
    if not rows and not problems:
        problems.append(f"{name} has no rows; give one for each image")
    return rows


def _columns(header: Sequence[str], name: str, ignored: Sequence[str], problems: Problems) -> dict[str, int] | None:
    """The number of each field's column, from 0, or None if the header is wrong."""
    known = {alias: field for field, aliases in COLUMNS.items() for alias in aliases}
    columns: dict[str, int] = {}
    before = len(problems)
    for number, column in enumerate(header):
        if column.strip() in ignored:
            continue
        field = known.get(column.strip().lower())
        if field is None and "*" not in ignored:
            close = difflib.get_close_matches(column.strip().lower(), known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            problems.append(
                f"{name} has an unknown column {column!r}; {hint}Allowed are {', '.join(known)}; rename "
                f"it, or set ignore_columns={column.strip() or '*'}"
            )
        elif field is not None and field in columns:
            problems.append(f"{name} has columns {header[columns[field]]!r} and {column!r} for the {field}; keep one")
        elif field is not None:
            columns[field] = number
    for field in NEEDED:
        if field not in columns and len(problems) == before:
            names = " or ".join(repr(alias) for alias in COLUMNS[field])
            has = ", ".join(header) or "no header"
            problems.append(f"{name} has no column {names} (it has {has}); name the columns in the first row")
    return columns if len(problems) == before else None


def _row(values: dict[str, str], where: str, problems: Problems) -> Row | None:
    for field in COLUMNS:
        if values.get(field) == "" and field not in MAY_BE_EMPTY:
            problems.append(f"{where} has no {field}; fill it in or remove the row")
            return None
    if values.get("mask") and values.get("boxes"):
        problems.append(f"{where} has both a mask and boxes; give one of them")
        return None
    try:
        boxes = tuple(parse_boxes(values.get("boxes", "")))
    except ValueError as error:
        problems.append(f"{where} has bad boxes: {error}")
        return None
    split = values.get("split")
    return Row(
        where=where,
        image=values["image"],
        label=values["label"],
        mask=values.get("mask") or None,
        boxes=boxes,
        group=values.get("group"),
        subject=values.get("subject"),
        split=POOL_NAMES.get(split.lower(), split) if split else None,
    )


def parse_boxes(text: str) -> Iterator[Box]:
    """Parse boxes from "x y width height; …".

    Raises:
        ValueError: a box that is not four numbers, or has no area.
    """
    for part in filter(None, (part.strip() for part in text.split(";"))):
        try:
            box = Box(*(float(number) for number in part.replace(",", " ").split()))
        except (TypeError, ValueError):
            raise ValueError(f"{part!r} is not 'x y width height', four numbers in pixels") from None
        if not (box.width > 0 and box.height > 0 and box.x >= 0 and box.y >= 0):
            raise ValueError(f"{part!r} needs x and y of at least 0 and width and height above 0")
        yield box


def check_once(rows: Iterable[Row], problems: Problems) -> None:
    """Report images that are in two rows, as they could then be in two splits."""
    seen: dict[str, str] = {}
    for row in rows:
        if row.image in seen:
            problems.append(f"{row.where} has the image {row.image} of {seen[row.image]} again; keep one of the rows")
        seen.setdefault(row.image, row.where)
