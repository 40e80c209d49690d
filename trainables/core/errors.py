"""Errors that a user meets, and the wording of the commonest one."""

from collections.abc import Iterable


class ConfigurationError(ValueError):
    """A configuration that cannot run. The message names the bad value, the allowed ones and how to fix it."""


class DivergedError(ArithmeticError):
    """Training produced a loss that is not finite."""


def unknown_name(kind: str, name: str, allowed: Iterable[str], where: str) -> ConfigurationError:
    """The error for a `name` that is not among the `allowed` ones, which the file `where` registers."""
    choices = ", ".join(sorted(allowed))
    return ConfigurationError(
        f"unknown {kind} {name!r}; choose from {choices}; to add one, register it in {where}, "
        "or install a package that provides it (docs/extending.md)"
    )
