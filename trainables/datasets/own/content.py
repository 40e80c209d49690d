"""A digest of everything that a dataset's images, masks and tables say."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple

from trainables.core.errors import ConfigurationError
from trainables.datasets.own.files import Files
from trainables.datasets.own.problems import Problems
from trainables.datasets.own.table import Row

READER_VERSION = 1
"""Counted up when the same files come to be read as other pixels."""
LENGTH = 32
READERS = 16
"""Files read at the same time: from S3 it is nearly all waiting."""


def content_digest(rows: Sequence[Row], files: Files) -> str:
    """Hex digest of the rows in their order, each with the SHA-256 of its image's and its mask's bytes.

    A trial's key has it, so that changed data are new trials. Names and places are left out of it: data that were
    moved, renamed or put into S3 stay the same data. Bytes are hashed, as sizes and times can stay while content
    changes; `Files` keeps each file's digest while its size, time and inode stay, so that it is hashed once.

    Raises:
        ConfigurationError: files that are not there or cannot be read, with their rows.
    """
    problems, lines = Problems(), []
    with ThreadPoolExecutor(READERS) as pool:
        digests = pool.map(lambda row: _digests(row, files), rows)
        for row, found in zip(rows, digests, strict=True):
            if isinstance(found, ConfigurationError):
                problems.add(f"{row.where}: {found}")
                continue
            boxes = [astuple(box) for box in row.boxes]
            lines.append([*found, boxes, row.boxes_side, row.ellipse, row.label, row.group, row.subject, row.split])
    problems.check()
    files.keep()
    text = json.dumps([READER_VERSION, lines], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def _digests(row: Row, files: Files) -> tuple[str, str | None] | ConfigurationError:
    try:
        return files.digest(row.image), files.digest(row.mask) if row.mask else None
    except ConfigurationError as error:
        return error
