"""Registries: built-in names, and the entry points of other installed packages."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any, TypeVar

from trainables.core.config import Options, TrialConfig
from trainables.core.errors import ConfigurationError, shortened

GROUP = "saliency_sweep."
"""Prefix of the groups of entry points; a registry's own name follows."""
THIS_PACKAGE = "saliency-sweep"
NAMED = 8
"""Most names in a registry's repr."""

Entry = TypeVar("Entry")
Check = Callable[[object], str | None]
"""What is wrong with the object that an entry point names, as the end of a sentence about it; None if it is fine."""


class Registry(Mapping[str, Entry]):
    """A mapping from names to classes or functions, sorted by name.

    A plug-in is an entry point of another package in the group `saliency_sweep.<registry>`, for example
    `saliency_sweep.methods`. It is imported when its name is looked up, not before.
    """

    def __init__(self, name: str, builtin: Mapping[str, Entry], check: Check):
        """`name` ends the group's name; `check` applies to plug-ins."""
        self.group = GROUP + name
        self.builtin = dict(builtin)
        self._check = check
        self._loaded: dict[str, Entry] = {}

    def __getitem__(self, name: str) -> Entry:
        """
        Raises:
            KeyError: no entry has this name.
            ConfigurationError: two packages provide it, it cannot be imported, or it fails the check.
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

    def __repr__(self) -> str:
        return brief(self.group.removeprefix(GROUP), self)

    def package(self, name: str) -> str | None:
        """The package that provides `name` and its version, "tools 1.2"; None for built-in entries."""
        return package(self._plugins[name][0]) if name in self._plugins else None

    def usable(self) -> dict[str, Entry]:
        """All entries but the plug-ins that cannot be used."""
        entries: dict[str, Entry] = {}
        for name in self:
            with suppress(ConfigurationError):
                entries[name] = self[name]
        return entries

    @cached_property
    def _plugins(self) -> dict[str, list[Any]]:
        # Typed Any: where a library has imported importlib_metadata, entry points have its class, not Python's.
        plugins: dict[str, list[Any]] = {}
        for entry_point in entry_points(group=self.group):
            plugins.setdefault(entry_point.name, []).append(entry_point)
        return plugins

    def _load(self, name: str) -> Entry:
        entry_point, *others = self._plugins[name]
        origins = [f"{package(e)} ({e.value})" for e in (entry_point, *others)]
        if name in self.builtin:
            origins.insert(0, f"{THIS_PACKAGE} (built in)")
        if len(origins) > 1:
            raise ConfigurationError(
                f"{' and '.join(origins)} all provide {name!r} in {self.group}; uninstall all but one of them, or "
                "rename the entry point if the package is yours"
            )
        subject = f"{name!r} in {self.group}, from package {origins[0]},"
        if not name.isidentifier():
            raise ConfigurationError(f"{subject} cannot be used in column names; use letters, digits and _ only")
        try:
            loaded = entry_point.load()
        except Exception as error:
            raise ConfigurationError(
                f"{subject} cannot be imported: {type(error).__name__}: {error}; fix that package, or uninstall it"
            ) from error
        if (problem := self._check(loaded)) is not None:
            raise ConfigurationError(f"{subject} {problem} (docs/extending.md)")
        entry: Entry = loaded
        return entry


class Named(dict[str, Entry]):
    """A dictionary with a short repr, for a registry without plug-ins."""

    def __init__(self, kind: str, entries: Mapping[str, Entry]):
        super().__init__(entries)
        self.kind = kind

    def __repr__(self) -> str:
        return brief(self.kind, self)


def brief(kind: str, names: Iterable[str]) -> str:
    """A short repr, "<models: resnet18, small_cnn>"; of more than `NAMED` names the first, and their number."""
    names = list(names)
    return f"<{kind}: {', '.join(names[:NAMED])}{f', …, {len(names)} in all' if len(names) > NAMED else ''}>"


def subclass_of(base: type) -> Check:
    """A check for subclasses of `base` whose Options, if `base` has any, do not repeat a setting of every trial."""

    def problem(loaded: object) -> str | None:
        if not isinstance(loaded, type) or not issubclass(loaded, base):
            return f"is {shortened(loaded)}; it must be a subclass of {base.__module__}.{base.__qualname__}"
        if not hasattr(base, "Options"):
            return None
        options = getattr(loaded, "Options", None)
        if not isinstance(options, type) or not issubclass(options, Options):
            return f"has Options {options!r}; they must be a subclass of trainables.core.config.Options"
        taken = sorted(options.model_fields.keys() & TrialConfig.model_fields.keys())
        return f"has a setting {taken[0]!r} in its Options, which every trial already has; rename it" if taken else None

    return problem


def a_function(loaded: object) -> str | None:
    """A check for functions and other callables."""
    return None if callable(loaded) else f"is {shortened(loaded)}; it must be a function"


def package(entry_point: Any) -> str:
    """The package of an entry point and its version: "tools 1.2"."""
    return f"{entry_point.dist.name} {entry_point.dist.version}" if entry_point.dist else "an unnamed package"
