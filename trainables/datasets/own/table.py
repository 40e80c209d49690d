"""The table of a dataset: a CSV with one row per image."""

import csv
import difflib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from records.columns import SPLITS
from trainables.core.errors import ConfigurationError, Problems
from trainables.core.files import Files, refusal

KNOWN = {"image": "image", "file": "image", "label": "label", "class": "label"}
KNOWN |= {name: name for name in ("mask", "boxes", "group", "subject", "split")}
"""Our column of each column name."""
NEEDED = {"image": "'image' or 'file'", "label": "'label' or 'class'"}
LONGEST_HEADER, LONGEST_CELL = 100_000, 4096
"""Most characters of the row of column names, and of a cell, which may name a path."""
POOLS = ("train", "valid", "test")
"""Parts of the data from which the five splits are drawn."""
POOL_NAMES = {"training": "train", "val": "valid", "validation": "valid", "testing": "test"}
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""Separators that some tables have instead of commas."""
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


class Box(NamedTuple):
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
    """If set, the mask is a centred ellipse whose radii are the image's sides divided by this."""
    group: str | None = None
    subject: str | None = None
    split: str | None = None

    @property
    def table(self) -> str:
        """The file that `where` names."""
        return self.where.rpartition(" row ")[0]


def read_table(files: Files, location: str, options: Any, problems: Problems, split: str | None = None) -> list[Row]:
    """Read the rows of a CSV with a header; `split` is that of all rows, if the table has one split."""
    data = files.read(location)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"{location} row {line} is not text in UTF-8 ({error.reason}); save it as such"
        ) from None
    lines = _lines(text, location, problems)
    _, header = next(lines, ("", []))
    if (length := sum(map(len, header)) + len(header)) > LONGEST_HEADER:
        raise ConfigurationError(
            f"{location} row 1 has {len(header):,} cells of {length:,} characters; at most {LONGEST_HEADER:,} are "
            "read: give the names of the columns there"
        )
    columns = _columns(header, location, options, problems)
    if columns is None:
        return []
    if split is not None and "split" in columns:
        problems.append(
            f"{location} has a column 'split', but its name says {split!r}; remove the column or rename the file"
        )
    rows = []
    for where, cells in lines:
        try:
            if any("\n" in cell or "\r" in cell for cell in cells):
                raise ValueError(" has a line break within a cell; close its quotation mark")
            if len(cells) != len(header):
                raise ValueError(f" has {len(cells)} cells, the header {len(header)}; fix the row")
            row = _row({field: cells[column].strip() for field, column in columns.items()}, where)
            refused = [reason for name in (row.image, row.mask) if name and (reason := refusal(location, name))]
            if refused:
                raise ValueError(f": {refused[0]}")
            rows.append(replace(row, split=split or row.split))
        except ValueError as error:
            problems.append(f"{where}{error}")
    if not rows and not problems:
        problems.append(f"{location} has no rows; give one for each image")
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


def _renamed_columns(text: str) -> dict[str, str]:
    """Our name of each column in the option `columns`, by its name in the table."""
    renamed = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        column, _, name = map(str.strip, pair.rpartition(":"))
        if not column or name not in KNOWN:
            raise ConfigurationError(
                f"bad columns {text!r} ({pair!r}); write NAME:COLUMN with the table's name first, as in "
                f"columns=filename:image,diagnosis:label; a COLUMN is one of {', '.join(KNOWN)}"
            )
        renamed[column] = name
    return renamed


def _columns(header: Sequence[str], name: str, options: Any, problems: Problems) -> dict[str, int] | None:
    """The number of each field's column, from 0, or None if the header is wrong."""
    renamed, ignored = _renamed_columns(options.columns), list(map(str.strip, options.ignore_columns.split(",")))
    if len(header) == 1 and (separators := [words for mark, words in SEPARATORS.items() if mark in header[0]]):
        problems.append(
            f"the cells of {name} are separated by {separators[0]} (row 1 is {header[0]!r}); separate them by commas"
        )
        return None
    columns: dict[str, int] = {}
    before, unknown, present = len(problems), [], list(map(str.strip, header))
    if absent := [column for column in renamed if column not in present]:
        problems.append(
            f"{name} has no column {absent[0]!r}, which columns={absent[0]}:{renamed[absent[0]]} names: row 1 is "
            f"{','.join(header)!r}; correct the name"
        )
    for number, column in enumerate(present):
        field = KNOWN.get(renamed.get(column, column.lower()))
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
    if missing := [names for field, names in NEEDED.items() if field not in columns]:
        has = f"row 1 is {','.join(header)!r}" if header else "it is empty"
        problems.append(
            f"{name} has no column {' and no column '.join(missing)}: {has}{hint} Name the columns in the first "
            f"row; allowed are {', '.join(KNOWN)}"
        )
    elif unknown and "*" not in ignored:
        problems.append(
            f"{name} has the unknown {'column' if len(unknown) == 1 else 'columns'} {', '.join(map(repr, unknown))}"
            f"{hint} Allowed are {', '.join(KNOWN)}; rename or remove the others, or set "
            f"ignore_columns={','.join(unknown)}"
        )
    return columns if len(problems) == before else None


def _guess(column: str) -> str | None:
    """The column of ours that is probably meant."""
    fields = SYNONYMS | KNOWN
    close = difflib.get_close_matches(column.lower().replace(" ", "_"), fields, n=1, cutoff=0.8)
    return fields[close[0]] if close else None


def _row(cells: dict[str, str], where: str) -> Row:
    """A row from its cells by field; ValueError if they are wrong."""
    if empty := [field for field in KNOWN.values() if cells.get(field) == "" and field not in ("mask", "boxes")]:
        raise ValueError(f" has no {empty[0]}; fill it in or remove the row")
    if long := [field for field, cell in cells.items() if len(cell) > LONGEST_CELL and field != "boxes"]:
        raise ValueError(f" has a {long[0]} of {len(cells[long[0]]):,} characters; at most {LONGEST_CELL:,} are read")
    boxes, split = tuple(_boxes(cells.pop("boxes", ""))), cells.pop("split", "").lower()
    mask = cells.pop("mask", None) or None
    if mask and boxes:
        raise ValueError(" has both a mask and boxes; give one of them")
    image, label, split = cells["image"], cells["label"], POOL_NAMES.get(split, split)
    group, subject = cells.get("group"), cells.get("subject")
    return Row(where, image, label, mask, boxes, group=group, subject=subject, split=split or None)


def _boxes(text: str) -> Iterator[Box]:
    """Parse boxes from "x y width height; …"; ValueError if that fails."""
    for numbers in filter(None, map(str.strip, text.split(";"))):
        try:
            box = Box(*map(float, numbers.replace(",", " ").split()))
        except (TypeError, ValueError):
            raise ValueError(f" has bad boxes: {numbers!r} is not 'x y width height', four numbers in pixels") from None
        if max(box) <= 1 and not all(number.is_integer() for number in box):
            raise ValueError(
                f" has bad boxes: {numbers!r} seems to be in shares of the image's sides; boxes are in pixels, so "
                "multiply by them"
            )
        if not (box.width > 0 and box.height > 0 and box.x >= 0 and box.y >= 0):
            raise ValueError(f" has bad boxes: {numbers!r} needs x and y of at least 0 and width and height above 0")
        yield box


def check_rows(rows: Sequence[Row]) -> None:
    """Refuse an image in two rows, a subject in two given splits, misspelt labels and groups, and missing splits."""
    problems = Problems()
    by_image: dict[str, Row] = {}
    by_subject: dict[str, Row] = {}
    for row in rows:
        if (first := by_image.setdefault(row.image, row)) is not row:
            problems.append(f"{row.where} has the image {row.image} of {first.where} again; keep one of the rows")
        if row.subject and row.split and (other := by_subject.setdefault(row.subject, row)).split != row.split:
            problems.append(
                f"subject {row.subject!r} is in split {other.split!r} ({other.where}) and in {row.split!r} "
                f"({row.where}); put all its images into one split"
            )
    for field in ("label", "group"):
        problems.extend(_different_spellings(rows, field))
    problems.check()
    problems.extend(_split_problems(rows))
    problems.check()


def _different_spellings(rows: Iterable[Row], field: str) -> Iterator[str]:
    spellings: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        if value := getattr(row, field):
            key = "".join(value.casefold().split())
            spellings.setdefault(key, {}).setdefault(value, []).append(row.where)
    for wheres in spellings.values():
        if len(wheres) > 1:
            seen = " and ".join(f"{value!r} ({len(where)} x, first in {where[0]})" for value, where in wheres.items())
            yield f"the {field}s {seen} differ only in case or blanks; write them alike"


def _split_problems(rows: Sequence[Row]) -> Iterator[str]:
    """All rows need a split, or none: train, valid and test, or without groups also the five themselves."""
    present = {row.split for row in rows}
    if present == {None}:
        return
    allowed, text = set(POOLS), ", ".join(POOLS)
    if all(row.group is None for row in rows):
        allowed, text = allowed.union(SPLITS), f"{text}, or {', '.join(SPLITS)}"
    for row in rows:
        if row.split not in allowed:
            yield f"{row.where} has split {row.split!r}; allowed are {text}"
    if present <= allowed and present not in (set(POOLS), set(SPLITS)):
        missing = [name for name in (SPLITS if present - set(POOLS) else POOLS) if name not in present]
        yield (
            f"{rows[0].table} has no images of split {', '.join(missing) or 'valid_id'}; add them, or leave split out"
        )
