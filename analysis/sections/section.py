"""The interface of a section: one part of the report with everything that belongs to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd

from analysis.answer.answer import Analysis
from analysis.sections.drawing import Drawing
from analysis.sections.table import Table
from analysis.stats.rank_correlation import Floats
from analysis.stats.replicated import TOO_FEW, Estimate
from analysis.trials.design import Rows

Result = TypeVar("Result")
Lack = tuple[str, str]
"""Something that the report does not have, and why."""


@dataclass(frozen=True)
class Part:
    """A heading that several sections stand under."""

    title: str
    introduction: Callable[[Analysis], str] = lambda analysis: ""
    reported: str = ""
    """The sentence of the methods paragraph that lists what the part's sections report; "" if they report sentences."""


@dataclass(frozen=True, kw_only=True)
class Section(Generic[Result]):
    """A part of the report: how its result is computed, and the words, tables and figures that present it.

    Functions take the analysis and the section's result (None without `compute`). A section without words, tables and
    figures is left out of the report.
    """

    key: str
    """The name of its result in `Analysis.results` and in report.json."""
    title: str
    part: Part | None = None
    compute: Callable[[Analysis], Result] | None = None
    """None for a section that shows parts of the analysis."""
    content: Callable[[Result], dict[str, Any]] | None = None
    """The section's keys in report.json; None for the result itself under `key`."""
    sentence: Callable[[Analysis, Result], str] = lambda analysis, result: ""
    """The result in words for readers who are not statisticians; an empty line separates paragraphs."""
    details: Callable[[Analysis, Result], Sequence[str]] = lambda analysis, result: ()
    """Further sentences, folded in report.html."""
    figures: Callable[[Analysis, Result], Sequence[Drawing | None]] = lambda analysis, result: ()
    tables: Callable[[Analysis, Result], Sequence[Table]] = lambda analysis, result: ()
    interactive: Callable[[Analysis, Result], Mapping[str, Any] | None] = lambda analysis, result: None
    """Data for templates/interactive.js in report.html, as JSON under the section's key."""
    words_last: bool = False
    """Whether the first table and the figures come before the words."""
    missing: Callable[[Analysis, Result], Sequence[Lack]] | None = None
    """What the report lacks; None for the section itself if nothing could be estimated."""
    method: Callable[[Analysis, Result], Mapping[str, str]] = lambda analysis, result: {}
    """Terms and how they were computed. analysis/report/references.json has the references that it cites."""
    reported: Callable[[Analysis, Result], str] = lambda analysis, result: ""
    """Text for a paper's methods paragraph: sentences, or a noun phrase for the list of the part."""

    def json(self, analysis: Analysis) -> dict[str, Any]:
        """The section's keys of report.json."""
        if self.compute is None:
            return {}
        result = analysis.results[self.key]
        return {self.key: plain(result)} if self.content is None else self.content(result)

    def lacks(self, analysis: Analysis) -> Sequence[Lack]:
        result: Any = analysis.results.get(self.key)
        if self.missing is not None:
            return self.missing(analysis, result)
        reasons = self._reasons(analysis) if self.is_undefined(analysis) else []
        return [(f"“{self.title}”", why) for why in dict.fromkeys(reasons) if why is not None]

    def is_empty(self, analysis: Analysis) -> bool:
        """Whether the section has no result, and so nothing to show."""
        return self.compute is not None and not analysis.results[self.key]

    def is_undefined(self, analysis: Analysis) -> bool:
        """Whether nothing could be estimated; the section is then listed as missing and not shown."""
        reasons = self._reasons(analysis)
        return self.missing is None and bool(reasons) and None not in reasons

    def _reasons(self, analysis: Analysis) -> list[str | None]:
        """Why each entry of the result has no estimate, without entries of single strata, which repeat the whole's."""
        entries = _entries(analysis.results.get(self.key))
        return [e.reason for e in entries if hasattr(e, "reason") and getattr(e, "dataset", None) is None]


def plain(result: Any) -> Any:
    """A result as JSON."""
    if isinstance(result, tuple):
        return list(map(plain, result))
    return None if result is None else asdict(result)


def _entries(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def _about_the_primary(analysis: Analysis) -> str:
    return f"All of these are about the primary, {analysis.primary_name}. None of them changes the answer."


CORRELATIONS = Part("Correlations")
OTHER_WAYS = Part("The same question, asked in other ways", _about_the_primary, reported="Beside it we report {}.")


def absent_column(table: pd.DataFrame, columns: Sequence[str]) -> str | None:
    """Why a statistic of these columns is undefined; None if the table has all of them."""
    return next((f"no trial has the column {column!r}" for column in columns if column not in table), None)


def known_rows(table: pd.DataFrame, columns: Sequence[str]) -> tuple[Rows, Floats]:
    """(positions of the trials with all columns, [trials, columns] their values)."""
    values = table[list(columns)].to_numpy(dtype=np.float64)
    rows = np.flatnonzero(np.isfinite(values).all(axis=1))
    return rows, values[rows]


def if_estimated(phrase: str) -> Callable[[Analysis, Any], str]:
    """For `reported`: the phrase if some entry of the result has an estimate."""
    return lambda analysis, result: phrase if any(e.estimate is not None for e in _entries(result)) else ""


def no_interval(estimates: Sequence[Estimate]) -> str:
    """Why none of the estimates has an interval; "" for too few data seeds, which the report's notes name."""
    reasons = [part.interval_reason for part in estimates if part.estimate is not None]
    return f" There is no interval: {reasons[0]}." if reasons and all(reasons) and reasons[0] != TOO_FEW else ""


def left_out(n: int, n_missing: int) -> str:
    """How many trials a statistic on accuracy could not use, if it could use others."""
    if not n or not n_missing:
        return ""
    were = "1 trial was" if n_missing == 1 else f"{n_missing:,} trials were"
    return f" {were} left out for lack of a score or of a known number of test images."
