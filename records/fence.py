"""Keeps a driver that has lost its sweep from writing, e.g. one whose process or machine was suspended for a while."""

import copy
import functools
from collections.abc import Callable
from typing import Any, TypeVar

from records.storage_interface import StorageAwayError

Check = Callable[[], object]
"""Raises LostError if another driver has taken the sweep over."""
READS = ("_", "read", "files", "names", "times", "check", "entity_tags", "get", "search", "list")
"""How the names of methods that write nothing begin, in storages and in MLflow's client."""
Target = TypeVar("Target")


class LostError(StorageAwayError):
    """Another driver has taken the sweep over, so this one may not write any more."""


def fenced(target: Target, check: Check) -> Target:
    """A copy of a storage or of MLflow's client that calls `check` before each request that may write."""

    def checked(write: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(write)
        def call(*arguments: Any, **options: Any) -> Any:
            check()
            return write(*arguments, **options)

        return call

    guarded = copy.copy(target)
    for name in dir(type(target)):
        if callable(getattr(type(target), name)) and not name.startswith(READS):
            setattr(guarded, name, checked(getattr(target, name)))
    return guarded
