"""The analysis of the trials in docs/results gives every number that is stored and published beside them."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import analysis
from analysis import sections
from docs.studies import RESULTS, stored

STUDIES = sorted(path.parent.name for path in RESULTS.glob("*/report.json"))


def numbers(part: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Each number of a report, with its place; NaN where there is none."""
    if isinstance(part, dict | list):
        for key, inner in part.items() if isinstance(part, dict) else enumerate(part):
            yield from numbers(inner, f"{place}/{key}")
    elif not isinstance(part, str):
        yield place, math.nan if part is None else part


def stored_numbers(report: Path) -> dict[str, float]:
    return dict(numbers(stored(json.loads(report.read_text()))))


@pytest.mark.parametrize("study", [pytest.param(s, marks=[pytest.mark.slow] * (s != "resnet18")) for s in STUDIES])
def test_a_study_has_the_numbers_of_its_trials(study, tmp_path, monkeypatch):
    without_figures = tuple(replace(section, figures=lambda *_: ()) for section in sections.SECTIONS)
    monkeypatch.setattr(sections, "SECTIONS", without_figures)
    result = analysis.analyse(analysis.load_file(RESULTS / study / "trials.parquet"))
    now = stored_numbers(analysis.write_report(result, tmp_path).with_suffix(".json"))
    published = stored_numbers(RESULTS / study / "report.json")
    # An older report may have entries that a newer one no longer has.
    expected = {place: number for place, number in published.items() if place in now}
    assert len(expected) == len(now) > 2000
    assert now == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True), "new numbers? python -m docs.studies"
