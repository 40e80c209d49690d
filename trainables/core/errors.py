"""Errors that users see, several in one message, and the message for unknown names."""

import difflib
from collections.abc import Iterable

SHOWN, LONGEST_TEXT = 3, 2000
"""Problems in one message, and characters of each."""


class ConfigurationError(ValueError):
    """A configuration that cannot run. The message names the bad value, the allowed ones and how to fix it."""


class DivergedError(ArithmeticError):
    """Training produced a loss that is not finite."""


class Problems(list[str]):
    """Error messages collected, so that a user sees several at a time; each names file and row and how to fix it."""

    def check(self) -> None:
        """Raise a ConfigurationError with the first few messages and the number of the others, if there are any."""
        if self:
            more = len(self) - SHOWN
            shown = (text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} …" for text in self[:SHOWN])
            raise ConfigurationError("; ".join(shown) + (f"; and {more} more" if more > 0 else ""))


LONGEST_VALUE = 80
"""Characters of a value that an error message shows."""


def unknown_name(kind: str, name: object, allowed: Iterable[str], where: str) -> ConfigurationError:
    """The error for a `name` that is not `allowed`; `where` is the file that registers names."""
    allowed = sorted(allowed)
    hint = did_you_mean(name, allowed) if isinstance(name, str) else f"{kind} takes a name: "
    return ConfigurationError(
        f"unknown {kind} {shortened(name)}; {hint}choose from {', '.join(allowed)}; to add one, register it in "
        f"{where}, or install a package that provides it (docs/extending.md)"
    )


def shortened(value: object) -> str:
    """The repr of a value that a user gave, cut after its first line and after `LONGEST_VALUE` characters."""
    text = repr(value)
    shown = text.partition("\n")[0][:LONGEST_VALUE]
    return shown if shown == text else f"{shown}…"


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """ "did you mean 'epochs'? ", with at most three names, the closest first; nothing if none is close."""
    close = difflib.get_close_matches(name.lower(), allowed, n=3)
    return f"did you mean {' or '.join(map(repr, close))}? " if close else ""
