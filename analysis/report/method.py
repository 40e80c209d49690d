"""How the analysis was done: the explanations, the paragraph for a paper, and the bibliography of both."""

from collections.abc import Iterable

from analysis import sections
from analysis.answer.answer import Analysis
from analysis.sections.section import Part


def explanations(analysis: Analysis) -> dict[str, str]:
    """Each term of the report with how it was computed."""
    terms: dict[str, str] = {}
    for section in sections.SECTIONS:
        terms |= section.method(analysis, analysis.results.get(section.key))
    return terms


def methods_paragraph(analysis: Analysis) -> str:
    """Sentences in the past tense; what was not estimated is not mentioned."""
    sentences: list[str] = []
    lists: dict[Part, list[str]] = {}
    for section in sections.SECTIONS:
        reported = section.reported(analysis, analysis.results.get(section.key))
        if reported and section.part is not None and section.part.reported:
            lists.setdefault(section.part, []).append(reported)
        elif reported:
            sentences.append(reported)
    sentences += [part.reported.format("; ".join(phrases)) for part, phrases in lists.items()]
    return " ".join(sentences)


def bibliography(texts: Iterable[str]) -> list[str]:
    """The references that the texts cite, in alphabetical order of their citations."""
    joined = " ".join(texts).replace("(", "").replace(")", "")
    known = {key: reference for section in sections.SECTIONS for key, reference in section.citations.items()}
    return [reference for key, reference in sorted(known.items()) if key in joined]
