"""The table of a dataset: a CSV with one row per image."""

import csv
import difflib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace

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
POOL_NAMES = {"training": "train", "val": "valid", "validation": "valid", "testing": "test"}
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""Separators that tables have instead of commas."""
SYNONYMS = {
    **dict.fromkeys(("filename", "file_name", "filepath", "path", "image_path", "img"), "image"),
    **dict.fromkeys(("diagnosis", "finding", "target", "category", "y"), "label"),
    **dict.fromkeys(("segmentation", "seg", "mask_path"), "mask"),
    **dict.fromkeys(("bbox", "box"), "boxes"),
    **dict.fromkeys(("site", "hospital", "scanner", "device", "view", "marker"), "group"),
    **dict.fromkeys(("patient", "patient_id", "patientid", "subject_id", "case"), "subject"),
    **dict.fromkeys(("set", "fold", "partition"), "split"),
}
"""Names that other tables give to our columns, for hints."""


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


def renamed_columns(text: str) -> dict[str, str]:
    """Our name of each column in "theirs:ours,…", by its name in the table.

    Raises:
        ConfigurationError: a part of another form, or a column that we do not have.
    """
    ours = [alias for aliases in COLUMNS.values() for alias in aliases]
    renamed = {}
    for part in filter(None, map(str.strip, text.split(","))):
        column, _, field = (piece.strip() for piece in part.rpartition(":"))
        if not column or field not in ours:
            raise ConfigurationError(
                f"bad columns {text!r} ({part!r}); write NAME:COLUMN with the table's own name first, for example "
                f"columns=filename:image,diagnosis:label; a COLUMN is one of {', '.join(ours)}"
            )
        renamed[column] = field
    return renamed


def read_table(
    text: str,
    name: str,
    ignored: Sequence[str],
    problems: Problems,
    split: str | None = None,
    renamed: Mapping[str, str] | None = None,
) -> list[Row]:
    """Read the rows of a CSV with a header.

    Required columns: image (or file) and label (or class). Optional: mask, boxes, group, subject and split. Cells of
    mask and boxes may be empty. `boxes` are "x y width height" in pixels of the image, several separated by semicolons.

    Args:
        text: content of the file.
        name: the file's name, for messages.
        ignored: columns to ignore; "*" for all unknown ones.
        problems: collects errors, with file and row.
        split: the split of all rows, if the file is that of one split.
        renamed: as returned by `renamed_columns`.
    """
    lines = _lines(text.removeprefix("\ufeff"), name, problems)
    _, header = next(lines, ("", []))
    columns = _columns(header, name, ignored, problems, renamed or {})
    if columns is None:
        return []
    if split is not None and "split" in columns:
        problems.append(
            f"{name} has a column 'split', but its name says {split!r}; remove the column or rename the file"
        )
    rows = []
    for where, cells in lines:
        if any("\n" in cell or "\r" in cell for cell in cells):
            problems.append(f"{where} has a line break within a cell; close its quotation mark")
            continue
        if len(cells) != len(header):
            problems.append(f"{where} has {len(cells)} cells, the header {len(header)}; fix the row")
            continue
        row = _row({field: cells[column].strip() for field, column in columns.items()}, where, problems)
        if row is not None:
            rows.append(replace(row, split=split) if split else row)
    if not rows and not problems:
        problems.append(f"{name} has no rows; give one for each image")
    return rows


def _lines(text: str, name: str, problems: Problems) -> Iterator[tuple[str, list[str]]]:
    """File and row, and the cells, of each line that is not blank. Lines may end in LF, CRLF or CR."""
    reader = csv.reader(io.StringIO(text, newline=""))
    start = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield f"{name} row {start}", cells
            start = reader.line_num + 1
    except csv.Error as error:
        problems.append(f"{name} row {start} cannot be read ({error}); fix the row")


def _columns(
    header: Sequence[str], name: str, ignored: Sequence[str], problems: Problems, renamed: Mapping[str, str]
) -> dict[str, int] | None:
    """The number of each field's column, from 0, or None if the header is wrong."""
    if len(header) == 1 and (separators := [words for mark, words in SEPARATORS.items() if mark in header[0]]):
        problems.append(
            f"the cells of {name} are separated by {separators[0]} (row 1 is {header[0]!r}); separate them by commas"
        )
        return None
    known = {alias: field for field, aliases in COLUMNS.items() for alias in aliases}
    columns: dict[str, int] = {}
    unknown = []
    before = len(problems)
    present = [column.strip() for column in header]
    if absent := [column for column in renamed if column not in present]:
        problems.append(
            f"{name} has no column {absent[0]!r}, which columns={absent[0]}:{renamed[absent[0]]} names: row 1 is "
            f"{','.join(header)!r}; correct the name"
        )
    for number, column in enumerate(present):
        field = known.get(renamed.get(column, column.lower()))
        if column in ignored:
            continue
        if field is None:
            unknown.append(column)
        elif field in columns:
            problems.append(f"{name} has columns {header[columns[field]]!r} and {column!r} for the {field}; keep one")
        else:
            columns[field] = number
    guesses = {column: guess for column in unknown if (guess := _guess(column)) and guess not in columns}
    meant = ", ".join(f"{guess!r} by {column!r}" for column, guess in guesses.items())
    setting = ",".join(f"{column}:{guess}" for column, guess in {**renamed, **guesses}.items())
    hint = f"; did you mean {meant}? Then set columns={setting}." if meant else "."
    missing = [" or ".join(map(repr, COLUMNS[field])) for field in NEEDED if field not in columns]
    if missing:
        has = f"row 1 is {','.join(header)!r}" if header else "it is empty"
        problems.append(
            f"{name} has no column {' and no column '.join(missing)}: {has}{hint} Name the columns in the first "
            f"row; allowed are {', '.join(known)}"
        )
    elif unknown and "*" not in ignored:
        problems.append(
            f"{name} has the unknown {'column' if len(unknown) == 1 else 'columns'} {', '.join(map(repr, unknown))}"
            f"{hint} Allowed are {', '.join(known)}; rename or remove the others, or set "
            f"ignore_columns={','.join(unknown)}"
        )
    return columns if len(problems) == before else None


def _guess(column: str) -> str | None:
    """The column of ours that is probably meant."""
    fields = SYNONYMS | {alias: field for field, aliases in COLUMNS.items() for alias in aliases}
    close = difflib.get_close_matches(column.lower().replace(" ", "_"), fields, n=1, cutoff=0.8)
    return fields[close[0]] if close else None


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
        split=POOL_NAMES.get(split.lower(), split.lower()) if split else None,
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
        numbers = astuple(box)
        if max(numbers) <= 1 and not all(number.is_integer() for number in numbers):
            raise ValueError(
                f"{part!r} seems to be in fractions of the image's sides; boxes are in pixels: multiply x and width by "
                "the image's width, y and height by its height"
            )
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


def check_spelling(rows: Iterable[Row], problems: Problems) -> None:
    """Report labels, and groups, that differ only in case or blanks, as they would count as different ones."""
    rows = list(rows)
    for field in ("label", "group"):
        spellings: dict[str, dict[str, list[str]]] = {}
        for row in rows:
            if value := getattr(row, field):
                key = "".join(value.casefold().split())
                spellings.setdefault(key, {}).setdefault(value, []).append(row.where)
        for wheres in spellings.values():
            if len(wheres) > 1:
                seen = " and ".join(
                    f"{value!r} ({len(where)} x, first in {where[0]})" for value, where in wheres.items()
                )
                problems.append(f"the {field}s {seen} differ only in case or blanks; write them alike")
