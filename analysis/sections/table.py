"""A table of the report: one definition, written as HTML, Markdown, CSV and LaTeX."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.answer.entry import Correlation
from analysis.numbers import HasInterval, interval, name, number, severity
from analysis.numbers import p_value as written_p

Entry = tuple[Any, str]
"""A raw value for the CSV, and its text."""
UNDEFINED = "undefined because"
"""Heading of a last column of reasons."""


def value(raw: float | None, digits: int = 2) -> Entry:
    return raw, number(raw, digits)


def bounds(low: float | None, high: float | None, digits: int = 2) -> Entry:
    return (low, high), interval(low, high, digits)


def estimated(part: HasInterval | None, digits: int = 2) -> tuple[Entry, Entry]:
    """An estimate and its interval."""
    if part is None:
        return value(None), bounds(None, None)
    return value(part.estimate, digits), bounds(part.ci_low, part.ci_high, digits)


def p_value(raw: float | None) -> Entry:
    return raw, written_p(raw)


def whole(n: int) -> Entry:
    return n, f"{n:,}"


def cell_entries(dataset: str | None, level: float | None, method: str | None) -> tuple[Entry, Entry, Entry]:
    """Dataset, severity and method of a row."""
    return (dataset, name(dataset or "")), (level, severity(level or 0.0)), (method, name(method or ""))


def scope_entries(dataset: str | None, level: float | None, method: str | None) -> tuple[Entry, Entry, Entry]:
    """The same, without a dataset for all strata with a shift, and without a method for all methods."""
    where = cell_entries(dataset, level, method) if dataset is not None else ((None, "shifted"), (None, ""))
    return where[0], where[1], (method, name(method or "all"))


def remark(text: str | None) -> Entry:
    return text, text or ""


@dataclass(frozen=True)
class Table:
    """A table with title and caption; each row has one entry per heading."""

    name: str
    title: str
    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    text_columns: int
    """Number of leading columns with words, which are left-aligned."""
    fields: tuple[str, ...]
    """The CSV's column names, one per heading."""
    group: int = 0
    """Number of leading columns; a line separates rows that differ in them."""
    strong: bool = False
    """Whether the first row is bold."""
    bold: frozenset[tuple[int, int]] = frozenset()
    """Row and column of further entries in bold."""
    fold: int | None = None
    """Number of rows beyond which report.html folds the table, if at all."""

    @property
    def ends_in_words(self) -> bool:
        """Whether the last column has remarks, which are left-aligned, and not shown if all are empty."""
        return self.fields[-1] in ("reason", "remark")

    def is_bold(self, row: int, column: int) -> bool:
        return (self.strong and row == 0) or (row, column) in self.bold

    @property
    def texts(self) -> list[list[str]]:
        return [[text for _, text in row] for row in self.rows]


def to_csv(table: Table) -> str:
    """The raw values; the bounds of an interval are separated by a space, a missing value is empty."""
    return _csv(table.fields, ([_plain(raw) for raw, _ in row] for row in table.rows))


def grid_csv(correlations: Sequence[Correlation]) -> str:
    """The whole grid, one correlation per line, with the fields of report.json."""
    fields = tuple(Correlation.__dataclass_fields__)
    return _csv(fields, ([_plain(getattr(c, f)) for f in fields] for c in correlations))


def to_latex(table: Table) -> str:
    """A booktabs table; it needs \\usepackage{booktabs} in the preamble."""

    def line(texts: Sequence[str], row: int | None = None) -> str:
        cells = [
            rf"\textbf{{{_latex(text)}}}" if text and row is not None and table.is_bold(row, column) else _latex(text)
            for column, text in enumerate(texts)
        ]
        return " & ".join(cells) + r" \\" + "\n"

    alignment = "l" * table.text_columns + "r" * (len(table.headings) - table.text_columns)
    return rf"""\begin{{table}}
\centering
\caption{{{_latex(table.title)}. {_latex(table.caption)}}}
\begin{{tabular}}{{{alignment}}}
\toprule
{line(table.headings)}\midrule
{"".join(line(texts, row) for row, texts in enumerate(table.texts))}\bottomrule
\end{{tabular}}
\end{{table}}
"""


def _plain(raw: Any) -> str:
    if raw is None:
        return ""
    if isinstance(raw, tuple):
        return " ".join(_plain(part) for part in raw).strip()
    return repr(raw) if isinstance(raw, float) else str(raw)


def _csv(fields: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows(rows)
    return buffer.getvalue()


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
