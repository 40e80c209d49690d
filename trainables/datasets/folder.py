"""folder:PATH: a folder of one's own images, masks and tables."""

from dataclasses import replace
from typing import Any

from trainables.datasets.own.files import Files
from trainables.datasets.own.images import OwnImages
from trainables.datasets.own.layout import find_file, find_mask, find_tables
from trainables.datasets.own.problems import Problems
from trainables.datasets.own.read import read_csv
from trainables.datasets.own.table import Row


class Folder(OwnImages):
    """A folder, on disk or s3://bucket/prefix, with one CSV, or one for each of train, valid and test.

    Images that a table names are looked for beside it, in images/, in a folder of the split's name and in images/
    there; masks likewise, in masks/. Where the table has no column `mask` or `boxes`, the mask is found by the image's
    name: masks/x.* for images/x.*, x_mask.*, x_seg.*, or the same name with "seg" for "img". An image for which there
    is none has no mask.
    """

    @classmethod
    def read_rows(cls, options: Any, files: Files, problems: Problems) -> list[Row]:
        found: list[Row] = []
        for table, pool in find_tables(files, cls.place).items():
            rows = read_csv(files, table, options.ignore_columns, problems, pool)
            by_name = not any(row.mask or row.boxes for row in rows)
            for row in rows:
                image = find_file(files, cls.place, table, "images", row.image, pool)
                if image is None:
                    problems.add(
                        f"{row.where}: there is no image {row.image} beside the table or in images/; correct its name "
                        "or put it there"
                    )
                    continue
                mask = find_file(files, cls.place, table, "masks", row.mask, pool) if row.mask else None
                if row.mask and mask is None:
                    problems.add(
                        f"{row.where}: there is no mask {row.mask} beside the table or in masks/; correct its name, "
                        "add it, or leave the cell empty"
                    )
                found.append(replace(row, image=image, mask=find_mask(files, image) if by_name else mask))
        return found
