"""Messages of the commands, in a terminal or a file."""

import textwrap

from rich.console import Console
from rich.text import Text


def say(console: Console, message: str, style: str = "", place: str = "") -> None:
    """Print a message without markup: in a terminal in lines that end between words, in a file or pipe in one.

    Args:
        console: where it goes.
        message: a URL or path without blanks in it stays whole, however long.
        style: as rich names it.
        place: the end of the message, there to be copied: a path or a command. It stays whole, blanks included, and has
            a line of its own where both do not fit in one.
    """
    if console.is_terminal:
        if place and len(message) + len(place) > console.width:
            message = f"{message.rstrip()}\n"
        message = "\n".join(_wrapped(line, console.width) for line in message.split("\n"))
    console.print(Text(message + place), style=style, soft_wrap=True)


def _wrapped(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    return textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
