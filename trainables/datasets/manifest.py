"""manifest:FILE.csv: one's own images, wherever they are, by a table."""

from dataclasses import replace
from typing import Any

from trainables.datasets.own.files import Files, join, parent
from trainables.datasets.own.images import OwnImages
from trainables.datasets.own.problems import Problems
from trainables.datasets.own.read import read_csv
from trainables.datasets.own.table import Row


class Manifest(OwnImages):
    """A CSV with columns image and label; if there are any mask or boxes, group, subject and split.

    Images and masks are absolute paths, s3://bucket/key, or relative to the CSV's folder; the CSV may lie in S3 too.
    """

    @classmethod
    def read_rows(cls, options: Any, files: Files, problems: Problems) -> list[Row]:
        folder = parent(cls.place)
        rows = read_csv(files, cls.place, options.ignore_columns, problems, None)
        return [
            replace(row, image=join(folder, row.image), mask=join(folder, row.mask) if row.mask else None)
            for row in rows
        ]
