"""The report of a comparison: report.html, .md and .json, with figures/ and tables/."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from analysis.answer.verdict import Verdict
from analysis.compare.differences import FALSE_DISCOVERIES, SweepComparison
from analysis.numbers import column_name, count, name
from analysis.report.render import json_bytes, render, version, write_files
from analysis.report.report import figure_context
from analysis.sections.drawing import PALETTE, Drawing, Mark, forest, pictures
from analysis.sections.table import CELL, WRITERS, Column, Table, decimals, estimates, intervals, p_values, words
from analysis.stats.rank_correlation import LEVEL
from analysis.trials.trials import Trials


def write_comparison(comparison: SweepComparison, out_dir: str | Path) -> Path:
    """Write the report into `out_dir` and return the path of report.html.

    Raises:
        AnalysisError: the folder cannot be written.
    """
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


def draw(comparison: SweepComparison) -> Drawing:
    """Forest plot of both sweeps' correlations within cells, over all strata and per stratum."""
    one, other = comparison.first.sweep, comparison.second.sweep
    rows = {
        d.stratum or "all strata": (Mark(d.first, PALETTE[1], "o", one), Mark(d.second, PALETTE[2], "s", other))
        for d in (comparison.within, *comparison.strata)
    }
    drawing = forest(
        {"Spearman’s ρ within cells with 95 % interval": rows},
        name="comparison",
        title="The correlation in both",
        caption=(
            "Rank correlation of the primary within cells. Two estimates can differ although their intervals overlap: "
            "the table has the interval of the difference."
        ),
        alt=f"Forest plot of rank correlations within cells, {one} against {other}",
        limits=(-1.02, 1.02),
        strong=True,
    )
    return cast("Drawing", drawing)  # there is always a row for all strata


def _difference(digits: int) -> tuple[Column, ...]:
    p = p_values(of=lambda d: d.p_value if d.p_adjusted is None else d.p_adjusted)
    return decimals("difference", "difference", digits=digits), intervals(digits=digits), p


_LAST = Column("n_shared", "shared"), words("reason", "remark", text=str)


def correlation_table(comparison: SweepComparison) -> Table:
    """The primary within cells in both sweeps, over all strata and per stratum."""
    return Table(
        name="correlations",
        title="Do maps go with performance equally in both?",
        caption=(
            "ρ: Spearman’s, within cells; the difference is that of Fisher’s z = atanh ρ, first minus second. For "
            "strata, p is adjusted over them (Benjamini-Hochberg). shared: data seeds in common, which are paired."
        ),
        columns=(
            words("stratum", "where", text=str, absent="everything"),
            *estimates("rho_first", f"ρ, {comparison.first.sweep}", "first", interval="interval_first"),
            *estimates("rho_second", f"ρ, {comparison.second.sweep}", "second", interval="interval_second"),
            *_difference(2),
            *_LAST,
        ),
        rows=(comparison.within, *comparison.strata),
    )


def mean_table(comparison: SweepComparison) -> Table:
    """Mean performance and localisation of each cell in both sweeps."""
    return Table(
        name="means",
        title="Do the methods do equally well in both?",
        caption=(
            "Means over a cell’s trials, and first minus second. p is adjusted over all cells and columns "
            "(Benjamini-Hochberg). shared: data seeds in common, which are paired."
        ),
        columns=(
            words("column", "mean of", text=column_name),
            *CELL,
            decimals("first", comparison.first.sweep, digits=3),
            decimals("second", comparison.second.sweep, digits=3),
            *_difference(3),
            Column("n", "trials", lambda n: f"{n[0]:,} and {n[1]:,}", lambda m: (m.n_first, m.n_second)),
            *_LAST,
        ),
        rows=comparison.means,
    )


def _sides(comparison: SweepComparison) -> list[tuple[Trials, Verdict]]:
    verdicts = comparison.first_verdict, comparison.second_verdict
    return list(zip((comparison.first, comparison.second), verdicts, strict=True))


def _content(comparison: SweepComparison) -> dict[str, Any]:
    first, second = (
        {name: getattr(trials, name) for name in ("sweep", "source", "n_read", "excluded", "notes", "missing")}
        | {"n_trials": len(trials.table), "verdict": asdict(verdict)}
        for trials, verdict in _sides(comparison)
    )
    return {
        "generated_by": version(),
        "sentence": comparison.sentence,
        "primary": asdict(comparison.primary),
        "first": first,
        "second": second,
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
        for trials, verdict in _sides(comparison)
    ]
    both = (
        f"{count(overlap.n_both, 'trial is', 'trials are')} in both, matched by {name(overlap.by)}; "
        f"{overlap.n_first_only:,} only in {sides[0]['sweep']}, {overlap.n_second_only:,} only in {sides[1]['sweep']}."
    )
    if overlap.n_both:
        both += f" Of those in both, {overlap.n_equal:,} have the same outcome and score, bit for bit."
    return {
        "version": version(),
        "title": f"{sides[0]['sweep']} and {sides[1]['sweep']} compared",
        "sentence": comparison.sentence,
        "sides": sides,
        "overlap": both,
        "score": column_name(primary.column),
        "outcome": primary.outcome,
        "notes": [*comparison.notes, *comparison.only_in_one],
    }
