"""Errors that a user meets, and the wording of the commonest one."""

from collections.abc import Iterable


class ConfigurationError(ValueError):
    """A configuration that cannot run; the message names the value, what is allowed and the mend."""


class DivergedError(ArithmeticError):
    """Training left the finite numbers."""


def unknown_name(kind: str, name: str, allowed: Iterable[str], where: str) -> ConfigurationError:
    """The error for a name that no registry knows."""
    choices = ", ".join(sorted(allowed))
    return ConfigurationError(
        f"unknown {kind} {name!r}; choose from {choices}; to add one, register it in {where}, "
        "or install a package that brings it (docs/extending.md)"
    )
