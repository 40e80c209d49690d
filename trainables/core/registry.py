"""Registries: the names that are built in, and those that other installed packages bring by entry point."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any, TypeVar

from trainables.core.errors import ConfigurationError

GROUP = "saliency_sweep."
"""What the groups of entry points begin with; a registry's own name follows."""
THIS_PACKAGE = "saliency-sweep"

Entry = TypeVar("Entry")
Check = Callable[[object], str | None]
"""What is wrong with the object that an entry point names, as the end of a sentence about it; None if nothing is."""


class Registry(Mapping[str, Entry]):
    """From names to what they stand for, in the order of the names.

    A plug-in is an entry point of another package in the group `saliency_sweep.<registry>`, for example
    `saliency_sweep.methods`. It is imported when its name is looked up, and not before.
    """

    def __init__(self, name: str, builtin: Mapping[str, Entry], check: Check):
        """
        Args:
            name: the end of the group's name, e.g. "methods".
            builtin: this project's own entries.
            check: of what a plug-in brings.
        """
        self.group = GROUP + name
        self.builtin = dict(builtin)
        self._check = check
        self._loaded: dict[str, Entry] = {}

    def __getitem__(self, name: str) -> Entry:
        """
        Raises:
            KeyError: there is none of that name.
            ConfigurationError: two packages bring it, or it cannot be imported, or it is no such thing.
        """
        if name in self._plugins:
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
            return self._loaded[name]
        return self.builtin[name]

    def __contains__(self, name: object) -> bool:
        return name in self.builtin or name in self._plugins

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.builtin.keys() | self._plugins.keys()))

    def __len__(self) -> int:
        return len(self.builtin.keys() | self._plugins.keys())

    def package(self, name: str) -> str | None:
        """The package that brings `name` and its version, "tools 1.2"; None for what is built in."""
        return package(self._plugins[name][0]) if name in self._plugins else None

    def usable(self) -> dict[str, Entry]:
        """All that there is, without the plug-ins that cannot be used."""
        found: dict[str, Entry] = {}
        for name in self:
            with suppress(ConfigurationError):
                found[name] = self[name]
        return found

    @cached_property
    def _plugins(self) -> dict[str, list[Any]]:
        # Entry points have a class of importlib_metadata's instead of Python's where a library has imported that.
        found: dict[str, list[Any]] = {}
        for entry_point in entry_points(group=self.group):
            found.setdefault(entry_point.name, []).append(entry_point)
        return found

    def _load(self, name: str) -> Entry:
        entry_point, *others = self._plugins[name]
        origins = [f"{package(e)} ({e.value})" for e in (entry_point, *others)]
        if name in self.builtin:
            origins.insert(0, f"{THIS_PACKAGE} (built in)")
        if len(origins) > 1:
            raise ConfigurationError(
                f"{' and '.join(origins)} all bring {name!r} in {self.group}; uninstall all but one of them, or rename "
                "the entry point of a package of yours"
            )
        told = f"{name!r} in {self.group}, from package {origins[0]},"
        if not name.isidentifier():
            raise ConfigurationError(f"{told} is no name that columns can have; use letters, digits and _ alone")
        try:
            found = entry_point.load()
        except Exception as error:
            raise ConfigurationError(
                f"{told} cannot be imported: {type(error).__name__}: {error}; mend that package, or uninstall it"
            ) from error
        if (problem := self._check(found)) is not None:
            raise ConfigurationError(f"{told} {problem} (docs/extending.md)")
        entry: Entry = found
        return entry


def subclass_of(base: type) -> Check:
    """Is it a subclass of `base`? If that has settings of its own, is their name another than those of all trials?"""

    def problem(found: object) -> str | None:
        if not isinstance(found, type) or not issubclass(found, base):
            return f"is {found!r}; it must be a subclass of {base.__module__}.{base.__qualname__}"
        return _problem_of_options(getattr(found, "Options", None)) if hasattr(base, "Options") else None

    return problem


def a_function(found: object) -> str | None:
    """Is it a function, or anything else that can be called?"""
    return None if callable(found) else f"is {found!r}; it must be a function"


def package(entry_point: Any) -> str:
    """The package that an entry point belongs to and its version: "tools 1.2"."""
    return f"{entry_point.dist.name} {entry_point.dist.version}" if entry_point.dist else "an unnamed package"


def _problem_of_options(options: object) -> str | None:
    from trainables.core.config import Options, TrialConfig

    if not isinstance(options, type) or not issubclass(options, Options):
        return f"has Options {options!r}; they must be a subclass of trainables.config.Options"
    taken = sorted(options.model_fields.keys() & TrialConfig.model_fields.keys())
    if taken:
        return f"has a setting {taken[0]!r} in its Options, which every trial has already; rename it"
    return None
