"""folder:PATH and manifest:FILE.csv: a user's own images in a folder, or named by a table."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from posixpath import basename
from typing import Any

from pydantic import Field

from trainables.core.errors import SHOWN, ConfigurationError, Problems
from trainables.core.files import Files, composed, join, parent
from trainables.datasets.own.images import OwnImages, OwnImagesOptions
from trainables.datasets.own.table import POOLS, Row, read_table

MASK_FOLDERS = ("masks", "mask", "segmentations", "segmentation")
MASK_ENDINGS = ("_mask", "_seg", "_segmentation")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom", ".npy")


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
    masks/x.* for images/x.*, x_mask.*, or the same name with "seg" for "img"; docs/own_data.md has all names.
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
            rows = read_table(files, table, options, problems, pool)
            by_name = not any(row.mask or row.boxes for row in rows)
            image_places, *mask_places = (_folders(cls.place, table, kind, pool) for kind in ("images", *MASK_FOLDERS))
            for row in rows:
                lacks = f"{row.where}: there is no image {row.image} beside the table or in images/"
                image = _find(files, image_places, row.image, lacks, "correct its name or put it there", problems)
                if image is None:
                    continue
                mask, fix = None, "correct its name, add it, or leave the cell empty"
                if row.mask:
                    lacks = f"{row.where}: there is no mask {row.mask} of {row.image} beside the table or in masks/"
                    mask = _find(files, [*chain(*mask_places)], row.mask, lacks, fix, problems)
                located.append(replace(row, image=image, mask=_find_mask(files, image) if by_name else mask))
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
        return [
            replace(row, image=join(folder, row.image), mask=join(folder, row.mask) if row.mask else None)
            for row in read_table(files, cls.place, options, problems)
        ]


def find_tables(files: Files, folder: str) -> dict[str, str | None]:
    """Find the one CSV in `folder`, or that of each split: train.csv, train_labels.csv or the one CSV in train/."""
    pools: dict[str, str | None] = {}
    for pool in POOLS:
        tables = list(_tables_of(files, folder, pool))
        if len(tables) > 1:
            raise ConfigurationError(f"{tables[0]} and {tables[1]} both list the {pool} images; keep one of them")
        pools.update(dict.fromkeys(tables, pool))
    if len(pools) == len(POOLS):
        return pools
    if pools:
        missing = ", ".join(pool for pool in POOLS if pool not in pools.values())
        raise ConfigurationError(
            f"{folder} has {', '.join(sorted(pools))} but no table for {missing}; add it, or one CSV with a column "
            "'split'"
        )
    tables = _csvs(files, folder)
    if len(tables) > 1:
        raise ConfigurationError(
            f"{folder} needs one CSV, or train.csv, valid.csv and test.csv; it has {', '.join(tables)}. Name the one "
            "to use with manifest:FILE.csv"
        )
    if not tables:
        raise _no_table(files, folder)
    return {join(folder, tables[0]): None}


def _tables_of(files: Files, folder: str, pool: str) -> Iterator[str]:
    for word in (pool, "val") if pool == "valid" else (pool,):
        yield from (join(folder, name) for name in (f"{word}.csv", f"{word}_labels.csv") if name in files.names(folder))
        within = join(folder, word)
        yield from (join(within, name) for name in _csvs(files, within))


def _csvs(files: Files, folder: str) -> list[str]:
    return sorted(name for name in files.names(folder) if name.lower().endswith(".csv"))


def _no_table(files: Files, folder: str) -> ConfigurationError:
    """The error for a folder without a CSV, by what is there instead."""
    if os.path.isfile(folder):
        return ConfigurationError(f"{folder} is a file; name its folder, or write manifest:{folder}")
    names = files.names(folder)
    if not names and not os.path.isdir(folder):
        return ConfigurationError(f"there is no folder {folder}, or no file in it; correct its name")
    entries = os.scandir(folder) if os.path.isdir(folder) else ()
    subfolders = sorted(entry.name for entry in entries if entry.is_dir() and entry.name != "__MACOSX")
    has = f", {'but files and' if names else 'only'} the folders {', '.join(subfolders)}" if subfolders else ""
    return ConfigurationError(
        f"{folder} has no table{has}; add a CSV, for example table.csv, with a row for each image: first a row "
        "'image,label,group', then rows such as 'a.png,normal,scanner1'"
    )


def _folders(folder: str, table: str, kind: str, pool: str | None) -> list[str]:
    """Where files of one kind (images, masks, …) are searched for."""
    places = [parent(table), join(folder, kind)]
    return places + [join(folder, name) for name in (pool, f"{pool}/{kind}", f"{kind}/{pool}")] if pool else places


def _find(files: Files, places: Sequence[str], name: str, lacks: str, fix: str, problems: Problems) -> str | None:
    """The location of `name` in the first of the folders `places` that has it; else a problem, and None."""
    if location := next(filter(None, (files.find(join(place, name)) for place in places)), None):
        return location
    folder, slash, leaf = name.rpartition("/")
    # Only for problems that will be shown, as it takes long in large folders.
    searched = [join(place, folder) if folder else place for place in places] if len(problems) < SHOWN else []
    candidates = (candidate for place in searched for candidate in sorted(files.names(place)))
    alike = next((f"did you mean {folder}{slash}{name}? " for name in candidates if _stem(name) == _stem(leaf)), "")
    problems.append(f"{lacks}; {alike}{fix}")
    return None


def _stem(name: str) -> str:
    """A file's name in lower case without the suffix of an image."""
    name = composed(name).lower()
    stem, dot, suffix = name.rpartition(".")
    return stem if f"{dot}{suffix}" in SUFFIXES else name


def _find_mask(files: Files, image: str) -> str | None:
    """Find the mask that is named after its image, of whatever format; None if there is none."""
    masks = (files.of_stem(folder, stem, SUFFIXES) for folder, stem in _mask_candidates(image))
    return next((location for location in masks if location and location != image), None)


def _mask_candidates(image: str) -> Iterator[tuple[str, str]]:
    """Folders and names without suffix: masks/x beside images/x, masks/x and x_mask beside x, and the like."""
    folder, stem = parent(image), basename(image).rsplit(".", 1)[0]
    if "img" in stem:
        yield folder, stem.replace("img", "seg")
    parts = folder.rsplit("/images", 1)
    beside = len(parts) == 2 and parts[1][:1] in ("", "/")
    places = [[f"/{kind}".join(parts), join(folder, kind)] if beside else [join(folder, kind)] for kind in MASK_FOLDERS]
    # masks/ and the image's folder come first: a set whose masks are there keeps them when it gets another folder.
    yield from ((place, stem) for place in places[0])
    yield from ((folder, f"{stem}{ending}") for ending in MASK_ENDINGS)
    yield from ((place, f"{stem}{ending}") for place in chain(*places) for ending in ("", *MASK_ENDINGS))
