"""Finds methods whose first trials all fail the same way, so that their other trials can be skipped."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from records.store import Record

FIRST = 3
"""Trainings that must fail the same way before the others are skipped."""
FRAME = re.compile(r'^ *File "(?P<file>.+)", line (?P<line>\d+), in (?P<function>.+)$', re.MULTILINE)
INSTALLED = re.compile(r"/(site-packages|dist-packages|lib/python3[^/]*)/|^<")
"""Files that are not the user's: installed packages, Python's standard library, and frozen modules."""


class Failure(NamedTuple):
    """The type of a trial's error, and the innermost line of the user's code: "/path/mine.py, line 12, in penalty"."""

    error: str
    place: str


def failure_of(record: Record) -> Failure | None:
    """How a trial failed; None if it did not, or without a line of the user's code, as for a lost process."""
    if record["status"] != "failed":
        return None
    error, _, traceback = str(record["error"]).partition("\n")
    frames = [frame for frame in FRAME.finditer(traceback) if not INSTALLED.search(frame["file"])]
    if not frames:
        return None
    return Failure(error.partition(":")[0], "{file}, line {line}, in {function}".format(**frames[-1].groupdict()))


class BrokenMethods:
    """A method is broken if its first three trainings fail the same way.

    If the first three of the run do, and they are of several methods, all methods count as broken.
    """

    def __init__(self) -> None:
        # Method and failure of the first trainings, by method and, under None, of all methods.
        self._first: dict[str | None, list[tuple[str, Failure | None]]] = defaultdict(list)
        self._broken: set[str | None] = set()

    def skips(self, method: str) -> bool:
        return not self._broken.isdisjoint((method, None))

    def add(self, records: Sequence[Record]) -> str | None:
        """Add the records of a training; return a message if its method is broken."""
        method, failure = records[0]["method"], failure_of(records[0])
        names = {None: f"The first {FIRST} trials, of several methods,", method: f"{method}: its first {FIRST} trials"}
        for scope in names:
            if len(self._first[scope]) < FIRST:
                self._first[scope].append((method, failure))
        if failure is None or self.skips(method):
            return None
        for scope, name in names.items():
            methods, failures = zip(*self._first[scope], strict=True)
            if failures == (failure,) * FIRST and (scope is not None or len(set(methods)) > 1):
                self._broken.add(scope)
                error = str(records[0]["error"]).splitlines()[0]
                return f"{name} failed the same way: {error} ({failure.place})"
        return None
