"""The report's files: report.html, report.md and report.json, with figures/ and tables/."""

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from analysis import sections
from analysis.answer.answer import Analysis
from analysis.answer.looks import look_of
from analysis.numbers import listed
from analysis.report.render import json_bytes, render, version, write_files
from analysis.sections.correlations import degenerate
from analysis.sections.drawing import Drawing, Pictures, pictures
from analysis.sections.head import facts, provenance, reading
from analysis.sections.page_trials import trials_data
from analysis.sections.section import Part, Section
from analysis.sections.selection_regret import decision
from analysis.sections.table import WRITERS, Table, grid_csv
from analysis.stats.rank_correlation import LEVEL
from records import Storage

Shown = TypeVar("Shown", Drawing, Table)


def write_report(analysis: Analysis, out_dir: str | Path) -> Path:
    """Write the report into `out_dir`, beside any other files there, and return the path of report.html.

    The same analysis gives the same bytes: no file has a date or the name of a folder.

    Raises:
        AnalysisError: the folder cannot be written.
    """
    presented = [_present(section, analysis) for section in sections.SECTIONS if not section.is_empty(analysis)]
    missing, shown = lacking(analysis), _shown(presented, analysis)
    content = _content(analysis, missing, [drawing.name for entry in presented for drawing, _ in entry.figures])
    interactive = {entry.section.key: entry.interactive for entry in presented if entry.interactive is not None}
    page_data = interactive and {"trials": trials_data(analysis), **interactive}
    context = content | _context(analysis, missing)
    context |= {"sections": shown, "contents": _contents(shown), "page_data": page_data}
    files = {
        "report.json": json_bytes(content),
        "report.md": render("report.md.j2", context),
        "tables/correlations.csv": grid_csv(analysis.correlations).encode(),
    }
    for entry in presented:
        for drawing, picture in entry.figures:
            files |= {f"figures/{drawing.name}.png": picture.png, f"figures/{drawing.name}.svg": picture.svg}
        for table in entry.tables:
            files |= {f"tables/{table.name}.{kind}": write(table).encode() for kind, write in WRITERS.items()}
    # Last: a sweep whose report has no page yet writes it again.
    files["report.html"] = render("report.html.j2", context)
    write_files(Path(out_dir), files)
    return Path(out_dir) / "report.html"


def copy_report(out_dir: str | Path, storage: Storage, sweep: str) -> str:
    """Copy a written report to <sweep>/report/ in a sweep's storage, and return that location.

    Raises:
        StorageError: a file cannot be written there.
    """
    folder = Path(out_dir)
    paths = [*folder.glob("report.*"), *folder.glob("figures/*"), *folder.glob("tables/*")]
    # The page last, as above.
    for path in sorted(paths, key=lambda path: (path.name == "report.html", path)):
        storage.write(f"{sweep}/report/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return f"{storage.location}/{sweep}/report"


@dataclass(frozen=True)
class Presented:
    """A section's words, figures, tables and data for the page's script."""

    section: Section[Any]
    words: dict[str, Sequence[str]]
    figures: list[tuple[Drawing, Pictures]]
    tables: Sequence[Table]
    interactive: Mapping[str, Any] | None


def _present(section: Section[Any], analysis: Analysis) -> Presented:
    result = analysis.results.get(section.key)
    paragraphs = [text for text in section.sentence(analysis, result).split("\n\n") if text]
    figures = [_named(drawing, section) for drawing in section.figures(analysis, result) if drawing is not None]
    return Presented(
        section=section,
        words={"paragraphs": paragraphs, "details": section.details(analysis, result)},
        figures=[(drawing, pictures(drawing)) for drawing in figures],
        tables=[_named(table, section) for table in section.tables(analysis, result)],
        interactive=section.interactive(analysis, result),
    )


def _named(part: Shown, section: Section[Any]) -> Shown:
    """A figure or a table with the section's key and title where it has none of its own."""
    return replace(part, name=part.name or section.key, title=part.title or section.title)


def figure_context(drawing: Drawing, picture: Pictures) -> dict[str, Any]:
    """What the templates print of a figure."""
    narrow = picture.narrow and base64.b64encode(picture.narrow).decode()
    return {**vars(drawing), "data": base64.b64encode(picture.png).decode(), "narrow": narrow, "width": picture.width}


def _shown(presented: Sequence[Presented], analysis: Analysis) -> list[dict[str, Any]]:
    """What the templates print of the sections that have something to show; the first of a part has its heading."""
    shown: list[dict[str, Any]] = []
    opened = None
    for entry in presented:
        section, part = entry.section, entry.section.part
        content = {
            **entry.words,
            "figures": [figure_context(*figure) for figure in entry.figures],
            "tables": [table for table in entry.tables if table.rows],
        }
        if section.is_undefined(analysis) or not any(content.values()):
            continue
        heading = None if part is None or part == opened else (part.title, part.introduction(analysis))
        opened = part
        head = {"key": section.key, "title": section.title, "words_last": section.words_last}
        shown.append({**head, **content, "part": heading, "level": 2 if part is None else 3})
    return shown


def _contents(shown: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """(anchor, title) of each first-level heading, in order."""
    headings = [
        (f"part-{section['key']}", section["part"][0]) if section["part"] else (section["key"], section["title"])
        for section in shown
        if section["part"] or section["level"] == 2
    ]
    return [*headings, ("method", "How this was computed"), ("left-out", "What was left out")]


def lacking(analysis: Analysis) -> list[str]:
    """What the report does not have, by reason, with the reason in brackets."""
    by_reason: dict[str, list[str]] = {}
    for what, why in (pair for section in sections.SECTIONS for pair in section.lacks(analysis)):
        by_reason.setdefault(why, []).append(what)
    return [f"{listed(absent)} ({why})" for why, absent in by_reason.items()]


def _content(analysis: Analysis, missing: list[str], figures: list[str]) -> dict[str, Any]:
    trials = analysis.trials
    content: dict[str, Any] = {
        "generated_by": version(),
        "sweep": trials.sweep,
        "source": trials.source,
        "commands": list(trials.commands),
        "n_trials": len(trials.table),
        "n_read": trials.n_read,
        "excluded": trials.excluded,
        "primary": asdict(analysis.primary),
        "decision": asdict(said) if (said := decision(analysis)) else None,
        "verdict": asdict(analysis.verdict),
        "reading": reading(analysis),
        "reference": asdict(analysis.reference[0]) if analysis.reference else None,
        "reference_by_stratum": [asdict(entry) for entry in analysis.reference[1:]],
        "power": asdict(analysis.power),
        "correlations": [asdict(c) for c in analysis.correlations],
        "degenerate": degenerate(analysis),
    }
    if (look := look_of(trials)) is not None:
        content["look"] = look
    for section in sections.SECTIONS:
        content |= section.json(analysis)
    return content | {
        "methods_paragraph": methods_paragraph(analysis),
        "notes": list(analysis.notes),
        "missing": [*trials.missing, *missing],
        "figures": figures,
        "settings": {
            "smallest_effect": analysis.verdict.smallest_effect,
            "replicates": analysis.replicates,
            "seed": analysis.seed,
            "level": LEVEL,
        },
    }


def _context(analysis: Analysis, missing: list[str]) -> dict[str, Any]:
    """What the templates print around the sections, beside the content of report.json."""
    terms = explanations(analysis)
    return {
        "version": version(),
        "facts": facts(analysis),
        "explanations": terms,
        "references": bibliography([*terms.values(), methods_paragraph(analysis)]),
        "n_excluded": sum(analysis.trials.excluded.values()),
        "has_primary": analysis.find("within_cell") is not None,
        "notes": [*analysis.notes, *analysis.trials.missing],
        "missing": "; ".join(missing),
        "provenance": provenance(analysis),
    }


def explanations(analysis: Analysis) -> dict[str, str]:
    """How it was computed, by term."""
    methods = (section.method(analysis, analysis.results.get(section.key)) for section in sections.SECTIONS)
    return {term: explanation for method in methods for term, explanation in method.items()}


def methods_paragraph(analysis: Analysis) -> str:
    """Sentences for a paper, in the past tense, on what was estimated."""
    lists: dict[Part | None, list[str]] = {None: []}
    for section in sections.SECTIONS:
        part = section.part if section.part is not None and section.part.reported else None
        if reported := section.reported(analysis, analysis.results.get(section.key)):
            lists.setdefault(part, []).append(reported)
    of_parts = [part.reported.format("; ".join(phrases)) for part, phrases in lists.items() if part is not None]
    return " ".join([*lists[None], *of_parts])


REFERENCES: dict[str, str] = json.loads((Path(__file__).parent / "references.json").read_text(encoding="utf-8"))
"""Each reference by its citation, such as "Jiang et al. 2020"."""


def bibliography(texts: Iterable[str]) -> list[str]:
    """The references that the texts cite, in alphabetical order of their citations."""
    joined = re.sub(r"[()]|’s(?= \()", "", " ".join(texts))
    return [reference for citation, reference in sorted(REFERENCES.items()) if citation in joined]
