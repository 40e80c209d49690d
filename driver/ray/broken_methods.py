"""Finds methods whose first trials all fail the same way, so that their other trials can be skipped."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from records.store import Record

FIRST = 3
"""Trainings that must fail the same way before the others are skipped."""
FRAME = re.compile(r'^ *File "(?P<file>.+)", line (?P<line>\d+), in (?P<function>.+)$', re.MULTILINE)
INSTALLED = re.compile(r"/(site-packages|dist-packages|lib/python3[^/]*)/|^<")
"""Files that are not the user's: installed packages, Python's own, and frozen modules."""


@dataclass(frozen=True)
class Failure:
    """How and where a trial failed."""

    error: str
    """The error's type, such as ValueError."""
    place: str
    """The innermost line of the user's code: "/path/mine.py, line 12, in penalty"."""


def failure_of(record: Record) -> Failure | None:
    """How a trial failed by its record; None if it did not, or if the record names no line of the user's code.

    A lost process leaves no line: memory or the node may be the cause.
    """
    if record["status"] != "failed":
        return None
    error, _, traceback = str(record["error"]).partition("\n")
    frames = [frame for frame in FRAME.finditer(traceback) if not INSTALLED.search(frame["file"])]
    if not frames:
        return None
    last = frames[-1]
    return Failure(error.partition(":")[0], f"{last['file']}, line {last['line']}, in {last['function']}")


class BrokenMethods:
    """A method is broken if its first three trainings fail the same way.

    If the first three of the run do, and they are of several methods, all methods count as broken.
    """

    def __init__(self) -> None:
        self._first: dict[str | None, list[Failure | None]] = {None: []}
        """Failures of the first trainings by method; under None those of all methods."""
        self._methods: list[str] = []
        """The method of each training, in order."""
        self._broken: set[str | None] = set()

    def skips(self, method: str) -> bool:
        return not self._broken.isdisjoint((method, None))

    def add(self, records: Sequence[Record]) -> str | None:
        """Note the records of a training; return a message if they show that its method is broken."""
        method, failure = records[0]["method"], failure_of(records[0])
        self._methods.append(method)
        self._note(method, failure)
        self._note(None, failure)
        if self._alike(None) and len(set(self._methods[:FIRST])) > 1:
            return self._broken_now(None, f"The first {FIRST} trials, of several methods,", records[0])
        if self._alike(method):
            return self._broken_now(method, f"{method}: its first {FIRST} trials", records[0])
        return None

    def _note(self, method: str | None, failure: Failure | None) -> None:
        first = self._first.setdefault(method, [])
        if len(first) < FIRST:
            first.append(failure)

    def _alike(self, method: str | None) -> bool:
        first = self._first[method]
        return len(first) == FIRST and None not in first and len(set(first)) == 1 and not self._broken & {method, None}

    def _broken_now(self, method: str | None, which: str, record: Record) -> str:
        self._broken.add(method)
        failure = self._first[method][0]
        assert failure is not None  # noqa: S101
        return f"{which} failed the same way: {str(record['error']).splitlines()[0]} ({failure.place})"
