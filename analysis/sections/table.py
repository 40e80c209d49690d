"""A table of the report: its columns, declared once and written as HTML, Markdown, CSV and LaTeX."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from operator import attrgetter
from typing import Any

from analysis import numbers
from analysis.answer.entry import Correlation
from analysis.numbers import name, number, p_value, severity

Entry = tuple[Any, str]
"""A raw value for the CSV, and its text."""
Reader = str | Callable[[Any], Any]
"""How a value is read from a row: an attribute's name, dotted for one of an attribute, or a function."""


@dataclass(frozen=True)
class Column:
    """A column: what it reads from each row, and how it writes it."""

    field: str
    """Its name in the CSV."""
    heading: str
    text: Callable[[Any], str] = "{:,}".format
    of: Reader = ""
    """By default the field."""
    absent: str = "–"
    """The text for None."""
    is_words: bool = False
    """Left-aligned."""

    def value(self, row: Any) -> Any:
        return read(row, self.of or self.field)

    def entry(self, row: Any) -> Entry:
        value = self.value(row)
        return value, self.absent if value is None else self.text(value)


def read(row: Any, of: Reader) -> Any:
    return of(row) if callable(of) else attrgetter(of)(row)


def words(field: str, heading: str, of: Reader = "", *, text: Callable[[Any], str] = name, absent: str = "") -> Column:
    return Column(field, heading, text, of, absent, is_words=True)


def decimals(field: str, heading: str, of: Reader = "", *, digits: int = 2) -> Column:
    return Column(field, heading, lambda value: number(value, digits), of)


def p_values(field: str = "p_value", heading: str = "p", of: Reader = "") -> Column:
    return Column(field, heading, p_value, of)


def intervals(
    field: str = "interval",
    heading: str = "95 % interval",
    low: Reader = "ci_low",
    high: Reader = "ci_high",
    *,
    digits: int = 2,
) -> Column:
    """A column with both bounds of an interval."""
    return Column(
        field,
        heading,
        lambda bounds: numbers.interval(bounds[0], bounds[1], digits),
        lambda row: (read(row, low), read(row, high)),
    )


def estimates(
    field: str, heading: str, of: Reader = "", *, digits: int = 2, interval: str = "interval"
) -> tuple[Column, ...]:
    """A column of estimates and one of their intervals; `of` reads the result that has both, by default the row."""
    columns = decimals(field, heading, "estimate", digits=digits), intervals(interval, digits=digits)
    return inside(of, *columns) if of else columns


def inside(of: Reader, *columns: Column) -> tuple[Column, ...]:
    """The columns, read from a part of each row; absent where the part is None."""

    def within(column: Column) -> Callable[[Any], Any]:
        return lambda row: None if (part := read(row, of)) is None else column.value(part)

    return tuple(replace(column, of=within(column)) for column in columns)


CELL = words("dataset", "dataset"), words("severity", "s", text=severity), words("method", "method")
"""Dataset, severity and method of a row."""
SCOPE = words("dataset", "dataset", absent="shifted"), CELL[1], words("method", "method", absent="all")
"""The same; no dataset stands for all strata with a shift, no method for all methods."""
REASON = words("reason", "undefined because", text=str)
REMARK = words("remark", "remark", of=lambda row: row.reason or row.interval_reason, text=str)
"""Why a row has no estimate or no interval."""


@dataclass(frozen=True)
class Table:
    """A table with title and caption."""

    name: str = ""
    """Of its files; empty, like a title, for that of the section."""
    title: str = ""
    caption: str = ""
    columns: Sequence[Column] = ()
    rows: Sequence[Any] = ()
    """The results that the columns read."""
    group: int = 0
    """Number of leading columns; a line separates rows that differ in them."""
    strong: bool = False
    """Whether the first row is bold."""
    bold: frozenset[tuple[int, int]] = frozenset()
    """Row and column of further entries in bold."""
    fold: int | None = None
    """Number of rows beyond which report.html folds the table, if at all."""

    @cached_property
    def entries(self) -> list[list[Entry]]:
        return [[column.entry(row) for column in self.columns] for row in self.rows]

    @property
    def texts(self) -> list[list[str]]:
        return [[text for _, text in row] for row in self.entries]

    @property
    def has_remarks(self) -> bool:
        """Whether the last column is of words and has any; report.html leaves out an empty one."""
        return not self.columns[-1].is_words or any(row[-1] for row in self.texts)

    def is_bold(self, row: int, column: int) -> bool:
        return (self.strong and row == 0) or (row, column) in self.bold


FORMULAS = tuple("=+-@\t\r")
"""What a formula starts with."""


def to_csv(table: Table) -> str:
    """The raw values; the bounds of an interval are separated by a space, a missing value is empty."""
    return _csv([column.field for column in table.columns], ([raw for raw, _ in row] for row in table.entries))


def grid_csv(correlations: Sequence[Correlation]) -> str:
    """The whole grid, one correlation per line, with the fields of report.json."""
    return _csv(list(Correlation.__dataclass_fields__), (astuple(c) for c in correlations))


def _csv(fields: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(map(_plain, row) for row in (fields, *rows))
    return buffer.getvalue()


def _plain(raw: Any) -> Any:
    """A value for a cell; text that a spreadsheet would run as a formula starts with an apostrophe."""
    if isinstance(raw, str):
        # A carriage return would start a row, unquoted.
        return ("'" * raw.startswith(FORMULAS) + raw).replace("\r", " ")
    return " ".join("" if part is None else str(part) for part in raw).strip() if isinstance(raw, tuple) else raw


def to_latex(table: Table) -> str:
    """A booktabs table; it needs \\usepackage{booktabs} in the preamble."""

    def line(row: int, texts: Sequence[str]) -> str:
        cells = [
            rf"\textbf{{{_latex(text)}}}" if text and table.is_bold(row, column) else _latex(text)
            for column, text in enumerate(texts)
        ]
        return " & ".join(cells) + r" \\" + "\n"

    return rf"""\begin{{table}}
\centering
\caption{{{_latex(table.title)}. {_latex(table.caption)}}}
\begin{{tabular}}{{{"".join("l" if column.is_words else "r" for column in table.columns)}}}
\toprule
{" & ".join(_latex(column.heading) for column in table.columns)} \\
\midrule
{"".join(line(row, texts) for row, texts in enumerate(table.texts))}\bottomrule
\end{{tabular}}
\end{{table}}
"""


_SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        **{c: "\\" + c for c in "&%$#_{}"},
        **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\u00a0": "~"},
        **{"–": "--", "’": "'", "“": "``", "”": "''"},
        **{"−": "$-$", "±": r"$\pm$", "²": r"$^2$", "<": "$<$", ">": "$>$"},
        **{"ρ": r"$\rho$", "τ": r"$\tau$", "λ": r"$\lambda$", "μ": r"$\mu$", "ψ": r"$\psi$", "Ψ": r"$\Psi$"},
    }
)


def _latex(text: str) -> str:
    return text.translate(_SPECIAL)


WRITERS: dict[str, Callable[[Table], str]] = {"csv": to_csv, "tex": to_latex}
