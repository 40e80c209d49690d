"""folder:PATH and manifest:FILE.csv: images of one's own in a folder or named by a table."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from pydantic import Field

from trainables.core.errors import ConfigurationError
from trainables.datasets.own.files import MACOS, S3, Files, composed, join, parent, refusal
from trainables.datasets.own.images import OwnImages, OwnImagesOptions
from trainables.datasets.own.table import POOLS, SHOWN, Problems, Row, read_table, renamed_columns


class PlaceOptions(OwnImagesOptions):
    omitted_at_default = ("columns",)
    columns: str = Field(
        "",
        description="what the table's columns are, where they have other names, e.g. 'filename:image,diagnosis:label'",
    )


class Folder(OwnImages):
    """A folder, on disk or s3://bucket/prefix, with one CSV, or one for each of train, valid and test.

    The images that a table names are searched for beside it, in images/, in a folder of the split's name and in images/
    there; masks likewise, in masks/. Where no cell of the table names a mask or boxes, a mask goes by its image's name:
    masks/x.* for images/x.*, x_mask.*, or the same name with "seg" for "img"; docs/own_data.md has all names. An image
    without a match has no mask.
    """

    Options = PlaceOptions
    options: PlaceOptions

    how_to_add_masks = (
        "put masks into masks/, each named as its image (masks/a.png or masks/a_mask.png for images/a.jpg), or give a "
        "column mask or boxes"
    )

    @classmethod
    def read_rows(cls, options: Any, files: Files, problems: Problems) -> list[Row]:
        located: list[Row] = []
        for table, pool in find_tables(files, cls.place).items():
            rows = read_csv(files, table, options, problems, pool)
            by_name = not any(row.mask or row.boxes for row in rows)
            for row in rows:
                places = folders(cls.place, table, "images", pool)
                image = find_file(files, places, row.image)
                if image is None:
                    hint = similar_name(files, places, row.image) if len(problems) < SHOWN else ""
                    problems.append(
                        f"{row.where}: there is no image {row.image} beside the table or in images/; {hint}correct its "
                        "name or put it there"
                    )
                    continue
                places = [place for kind in MASK_FOLDERS for place in folders(cls.place, table, kind, pool)]
                mask = find_file(files, places, row.mask) if row.mask else None
                if row.mask and mask is None:
                    hint = similar_name(files, places, row.mask) if len(problems) < SHOWN else ""
                    problems.append(
                        f"{row.where}: there is no mask {row.mask} of image {row.image} beside the table or in masks/; "
                        f"{hint}correct its name, add it, or leave the cell empty"
                    )
                located.append(replace(row, image=image, mask=find_mask(files, image) if by_name else mask))
        return located


class Manifest(OwnImages):
    """A CSV with columns image and label; optional are mask or boxes, group, subject and split.

    Images and masks are absolute paths, s3://bucket/key, or relative to the CSV's folder. The CSV may be in S3 too.
    """

    Options = PlaceOptions
    options: PlaceOptions

    @classmethod
    def read_rows(cls, options: Any, files: Files, problems: Problems) -> list[Row]:
        folder = parent(cls.place)
        rows = read_csv(files, cls.place, options, problems, None)
        return [
            replace(row, image=join(folder, row.image), mask=join(folder, row.mask) if row.mask else None)
            for row in rows
        ]


MASK_FOLDERS = ("masks", "mask", "segmentations", "segmentation")
MASK_ENDINGS = ("_mask", "_seg", "_segmentation")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom", ".npy")


def find_tables(files: Files, folder: str) -> dict[str, str | None]:
    """Find the tables in `folder`, each with the split that its name says: one CSV for all, or one per split.

    The table of a split is train.csv, train_labels.csv or the one CSV in train/; likewise for valid (or val) and test.

    Raises:
        ConfigurationError: there is no table, or more than one candidate.
    """
    names = {name for name in files.names(folder) if _is_csv(name)}
    pools: dict[str, str] = {}
    for pool in POOLS:
        tables = list(_tables_of(files, folder, pool))
        if len(tables) > 1:
            raise ConfigurationError(f"{tables[0]} and {tables[1]} both list the {pool} images; keep one of them")
        if tables:
            pools[tables[0]] = pool
    others = sorted(names - {location.rsplit("/", 1)[-1] for location in pools})
    if len(pools) == len(POOLS):
        return dict(pools)
    if pools:
        missing = ", ".join(pool for pool in POOLS if pool not in pools.values())
        raise ConfigurationError(
            f"{folder} has {', '.join(sorted(pools))} but no table for {missing}; add it, or give one CSV with a "
            "column 'split'"
        )
    if len(others) > 1:
        raise ConfigurationError(
            f"{folder} needs one CSV, or train.csv, valid.csv and test.csv; it has {', '.join(others)}. Name the one "
            "to use with manifest:FILE.csv"
        )
    if not others:
        raise _no_table(files, folder)
    return {join(folder, others[0]): None}


def _no_table(files: Files, folder: str) -> ConfigurationError:
    """The error for a folder without a CSV, by what is there instead."""
    if os.path.isfile(folder):
        return ConfigurationError(f"{folder} is a file; name its folder, or write manifest:{folder}")
    if not files.names(folder) and not os.path.isdir(folder):
        return ConfigurationError(f"there is no folder {folder}, or no file in it; correct its name")
    subfolders = (
        []
        if folder.startswith(S3)
        else sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name != MACOS)
    )
    what = "but files and" if files.names(folder) else "only"
    has = f", {what} the folders {', '.join(subfolders)}" if subfolders else ""
    return ConfigurationError(
        f"{folder} has no table{has}; add a CSV, for example table.csv, with a row for each image: first a row "
        "'image,label,group', then rows such as 'a.png,normal,scanner1', where the image may have folders before its "
        "name"
    )


def folders(folder: str, table: str, kind: str, pool: str | None) -> list[str]:
    """Where the files that a table names are looked for: its folder, the one of their kind, and those of the split.

    Args:
        folder: the dataset's.
        table: location of the table.
        kind: "images", or one of `MASK_FOLDERS`.
        pool: the split of the table; adds a folder of its name and images/ there.
    """
    places = [parent(table), join(folder, kind)]
    if pool:
        places += [join(folder, pool), join(folder, f"{pool}/{kind}"), join(folder, f"{kind}/{pool}")]
    return places


def find_file(files: Files, places: Sequence[str], name: str) -> str | None:
    """The first location of `name` in the folders `places`, if need be respelled; None if it is in none of them."""
    locations = [join(place, name) for place in places]
    return next(filter(files.exists, locations), None) or next(filter(None, map(files.respelled, locations)), None)


def similar_name(files: Files, places: Sequence[str], name: str) -> str:
    """A hint at a file in `places` whose name differs from `name` in case or suffix alone; "" if there is none."""
    folder, _, leaf = name.rpartition("/")
    for place in places:
        for candidate in sorted(files.names(join(place, folder) if folder else place)):
            if _stem(candidate) == _stem(leaf):
                return f"did you mean {f'{folder}/' if folder else ''}{candidate}? "
    return ""


def _stem(name: str) -> str:
    """A file's name in lower case without the suffix of an image."""
    name = composed(name).lower()
    stem, dot, suffix = name.rpartition(".")
    return stem if f"{dot}{suffix}" in SUFFIXES else name


def find_mask(files: Files, image: str) -> str | None:
    """Find the mask that is named after its image; None if there is none.

    For a name with "img" in it, the same name with "seg". For images/x.png: masks/x.* beside images/. For x.png:
    masks/x.*. `MASK_FOLDERS` may stand for masks/. Beside the image, and in these folders: x_mask.* and the other
    `MASK_ENDINGS`. The mask may have another format than the image.
    """
    found = (files.of_stem(folder, stem, SUFFIXES) for folder, stem in _mask_candidates(image))
    return next((location for location in found if location and location != image), None)


def _mask_candidates(image: str) -> Iterator[tuple[str, str]]:
    """Folders and names without suffix."""
    folder, name = parent(image), image.rsplit("/", 1)[-1]
    stem = name.rsplit(".", 1)[0]
    if "img" in stem:
        yield folder, stem.replace("img", "seg")
    parts = folder.rsplit("/images", 1)
    beside = len(parts) == 2 and parts[1][:1] in ("", "/")
    places = [[f"/{kind}".join(parts), join(folder, kind)] if beside else [join(folder, kind)] for kind in MASK_FOLDERS]
    # masks/ and the image's folder come first: a set whose masks are there keeps them when it gets another folder.
    yield from ((place, stem) for place in places[0])
    yield from ((folder, f"{stem}{ending}") for ending in MASK_ENDINGS)
    yield from ((place, f"{stem}{ending}") for place in chain(*places) for ending in ("", *MASK_ENDINGS))


def _tables_of(files: Files, folder: str, pool: str) -> Iterator[str]:
    for word in (pool, "val") if pool == "valid" else (pool,):
        yield from (join(folder, name) for name in (f"{word}.csv", f"{word}_labels.csv") if name in files.names(folder))
        within = join(folder, word)
        yield from (join(within, name) for name in sorted(files.names(within)) if _is_csv(name))


def _is_csv(name: str) -> bool:
    return name.lower().endswith(".csv")


def read_csv(files: Files, location: str, options: Any, problems: Problems, split: str | None) -> list[Row]:
    """Read the rows of the CSV at `location`, with the columns that the dataset's `options` name; see `read_table`.

    Raises:
        ConfigurationError: the file is missing or not text.
    """
    try:
        data = files.read(location)
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"{location} row {line} is not text in UTF-8 ({error.reason}); save it as such"
        ) from None
    ignored = [name.strip() for name in options.ignore_columns.split(",")]
    rows = []
    for row in read_table(text, location, ignored, problems, split, renamed_columns(options.columns)):
        refused = [reason for name in (row.image, row.mask) if name and (reason := refusal(location, name))]
        problems.extend(f"{row.where}: {reason}" for reason in refused)
        if not refused:
            rows.append(row)
    return rows
