"""Messages of the commands, in a terminal or a file."""

import textwrap

from rich.console import Console
from rich.text import Text


def say(console: Console, message: str, style: str = "", place: str = "") -> None:
    """Print a message without markup, wrapped between words in a terminal and unwrapped in a file or pipe.

    A URL or path without blanks stays whole. `place`, a path or command to copy, follows the message; it is never
    wrapped, and goes on a line of its own if both do not fit in one line.
    """

    def wrapped(line: str) -> str:
        if len(line) <= console.width:
            return line
        return textwrap.fill(line, console.width, break_long_words=False, break_on_hyphens=False)

    if console.is_terminal:
        if place and len(message) + len(place) > console.width:
            message = f"{message.rstrip()}\n"
        message = "\n".join(map(wrapped, message.split("\n")))
    console.print(Text(message + place), style=style, soft_wrap=True)
