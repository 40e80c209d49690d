"""Messages of the commands, in a terminal or a file."""

import textwrap
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from records.secrets import printable, scrub


class Terminal(Console):
    """A console that takes all text as it is: no markup, and nothing in a name from data commands the terminal."""

    def __init__(self, **options: Any):
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            # Rich's own commands are no text.
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def say(console: Console, message: str, style: str = "", place: str = "") -> None:
    """Print a message without credentials, wrapped between words in a terminal and unwrapped in a file or pipe.

    A URL or path without blanks stays whole. `place`, a path or command to copy, follows the message; it is never
    wrapped, and goes on a line of its own if both do not fit in one line.
    """
    message, place = scrub(message), scrub(place)

    def wrapped(line: str) -> str:
        if len(line) <= console.width:
            return line
        return textwrap.fill(line, console.width, break_long_words=False, break_on_hyphens=False)

    if console.is_terminal:
        if place and len(message) + len(place) > console.width:
            message = f"{message.rstrip()}\n"
        message = "\n".join(map(wrapped, message.split("\n")))
    console.print(Text(message + place), style=style, soft_wrap=True)
