"""The report of a comparison: report.html, .md and .json, with figures/ and tables/."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.compare.differences import FALSE_DISCOVERIES, CorrelationDifference, MeanDifference, SweepComparison
from analysis.numbers import column_name, count, name
from analysis.report.render import json_bytes, render, version, write_files
from analysis.report.report import figure_context
from analysis.sections.table import WRITERS, Table, bounds, cell_entries, estimated, p_value, remark, value, whole
from analysis.stats.rank_correlation import LEVEL
from analysis.trials.trials import Trials


def write_comparison(comparison: SweepComparison, out_dir: str | Path) -> Path:
    """Write the report into `out_dir`, which is created if need be, and return the path of report.html.

    Raises:
        AnalysisError: the folder cannot be written.
    """
    from analysis.compare.figure import draw
    from analysis.sections.drawing import pictures

    drawing = draw(comparison)
    picture = pictures(drawing)
    tables = [correlation_table(comparison), mean_table(comparison)]
    context = _words(comparison) | {"figure": figure_context(drawing, picture), "tables": tables}
    files = {
        "report.json": json_bytes(_content(comparison)),
        "report.html": render("comparison.html.j2", context),
        "report.md": render("comparison.md.j2", context),
        f"figures/{drawing.name}.png": picture.png,
        f"figures/{drawing.name}.svg": picture.svg,
    }
    for table in tables:
        files |= {f"tables/{table.name}.{kind}": write(table).encode() for kind, write in WRITERS.items()}
    write_files(Path(out_dir), files)
    return Path(out_dir) / "report.html"


def correlation_table(comparison: SweepComparison) -> Table:
    """The primary within cells in both sweeps, over all strata and per stratum."""
    one, other = comparison.first.sweep, comparison.second.sweep
    rows = [
        (
            (d.stratum or "all", d.stratum or "everything"),
            *estimated(d.first),
            *estimated(d.second),
            *_difference(d),
            whole(d.n_shared),
            remark(d.reason),
        )
        for d in (comparison.within, *comparison.strata)
    ]
    return Table(
        name="correlations",
        title="Do maps go with performance equally in both?",
        caption=(
            "ρ: Spearman’s, within cells; the difference is that of Fisher’s z = atanh ρ, first minus second. For "
            "strata, p is adjusted over them (Benjamini-Hochberg). shared: data seeds in common, which are paired."
        ),
        headings=("where", f"ρ, {one}", "95 % interval", f"ρ, {other}", "95 % interval", *_HEADINGS, *_LAST_HEADINGS),
        rows=tuple(rows),
        text_columns=1,
        fields=("stratum", "rho_first", "interval_first", "rho_second", "interval_second", *_FIELDS, *_LAST_FIELDS),
    )


def mean_table(comparison: SweepComparison) -> Table:
    """Mean performance and localisation of each cell in both sweeps."""
    one, other = comparison.first.sweep, comparison.second.sweep
    rows = [
        (
            (m.column, column_name(m.column)),
            *cell_entries(m.dataset, m.severity, m.method),
            value(m.first, 3),
            value(m.second, 3),
            *_difference(m, digits=3),
            ((m.n_first, m.n_second), f"{m.n_first:,} and {m.n_second:,}"),
            whole(m.n_shared),
            remark(m.reason),
        )
        for m in comparison.means
    ]
    return Table(
        name="means",
        title="Do the methods do equally well in both?",
        caption=(
            "Means over a cell’s trials, and first minus second. p is adjusted over all cells and columns "
            "(Benjamini-Hochberg). shared: data seeds in common, which are paired."
        ),
        headings=("mean of", "dataset", "s", "method", one, other, *_HEADINGS, "trials", *_LAST_HEADINGS),
        rows=tuple(rows),
        text_columns=4,
        fields=("column", "dataset", "severity", "method", "first", "second", *_FIELDS, "n", *_LAST_FIELDS),
    )


_HEADINGS = ("difference", "95 % interval", "p")
_FIELDS = ("difference", "interval", "p_value")
_LAST_HEADINGS, _LAST_FIELDS = ("shared", "remark"), ("n_shared", "reason")


def _difference(d: CorrelationDifference | MeanDifference, digits: int = 2) -> tuple[Any, ...]:
    p = d.p_value if d.p_adjusted is None else d.p_adjusted
    return value(d.difference, digits), bounds(d.ci_low, d.ci_high, digits), p_value(p)


def _side(trials: Trials) -> dict[str, Any]:
    return {
        "sweep": trials.sweep,
        "source": trials.source,
        "n_trials": len(trials.table),
        "n_read": trials.n_read,
        "excluded": trials.excluded,
        "notes": list(trials.notes),
        "missing": list(trials.missing),
    }


def _content(comparison: SweepComparison) -> dict[str, Any]:
    return {
        "generated_by": version(),
        "sentence": comparison.sentence,
        "primary": asdict(comparison.primary),
        "first": _side(comparison.first) | {"verdict": asdict(comparison.first_verdict)},
        "second": _side(comparison.second) | {"verdict": asdict(comparison.second_verdict)},
        "within_cell": asdict(comparison.within),
        "strata": [asdict(d) for d in comparison.strata],
        "means": [asdict(m) for m in comparison.means],
        "overlap": asdict(comparison.overlap),
        "only_in_one": list(comparison.only_in_one),
        "notes": list(comparison.notes),
        "settings": {
            "smallest_effect": comparison.first_verdict.smallest_effect,
            "level": LEVEL,
            "false_discovery_rate": FALSE_DISCOVERIES,
        },
    }


def _words(comparison: SweepComparison) -> dict[str, Any]:
    """What the templates fill in."""
    overlap, primary = comparison.overlap, comparison.primary
    sides = [
        {
            "sweep": trials.sweep,
            "sentence": verdict.sentence,
            "answer": verdict.answer,
            "n": count(len(trials.table), "trial"),
            "excluded": ", ".join(f"{n:,} {reason}" for reason, n in trials.excluded.items()),
            "notes": [*trials.notes, *trials.missing],
        }
        for trials, verdict in (
            (comparison.first, comparison.first_verdict),
            (comparison.second, comparison.second_verdict),
        )
    ]
    both = (
        f"{count(overlap.n_both, 'trial is', 'trials are')} in both, matched by "
        f"{name(overlap.by)}; {overlap.n_first_only:,} only in {comparison.first.sweep}, "
        f"{overlap.n_second_only:,} only in {comparison.second.sweep}."
    )
    if overlap.n_both:
        both += f" Of those in both, {overlap.n_equal:,} have the same outcome and score, bit for bit."
    return {
        "version": version(),
        "title": f"{comparison.first.sweep} and {comparison.second.sweep} compared",
        "sentence": comparison.sentence,
        "sides": sides,
        "overlap": both,
        "score": column_name(primary.column),
        "outcome": primary.outcome,
        "notes": [*comparison.notes, *comparison.only_in_one],
    }
