"""Plain text and tables as Markdown that a code host and the site show alike."""

import inspect
import re
from collections.abc import Iterable, Sequence


def markdown(text: str) -> str:
    """Escape plain text so that Markdown shows it unchanged; only backticks keep their meaning."""
    pieces = re.split(r"(`[^`]*`)", text)
    # Every second piece is code. In the others: emphasis, strikethrough and tags; _ within a word has no meaning.
    special = r"[*~\\]|(?<!\w)_|_(?!\w)|<(?=[\w/!?])"
    pieces[::2] = (re.sub(special, r"\\\g<0>", piece) for piece in pieces[::2])
    # Lines that begin like a list or a heading.
    pieces[::2] = (re.sub(r"(?m)^([-+>#])(?=\s)", r"\\\1", piece) for piece in pieces[::2])
    return "".join(pieces)


def paragraphs(docstring: str | None) -> Sequence[str]:
    """Paragraphs of a docstring; one empty paragraph if there is none."""
    return [inspect.cleandoc(part) for part in inspect.cleandoc(docstring or "").split("\n\n")]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown cells, whose bars are escaped."""
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
