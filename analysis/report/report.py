"""The report's files: report.html, report.md and report.json, with figures/ and tables/."""

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from analysis.answer.answer import Analysis
from analysis.answer.entry import Correlation
from analysis.report.methods_paragraph import methods_paragraph, references
from analysis.report.numbers import count, interval, name, number, p_value
from analysis.report.render import json_bytes, render, version, write_files
from analysis.report.table import WRITERS, grid_csv
from analysis.report.tables import tables, where
from analysis.sections.estimand_words import estimand_words
from analysis.sections.maps import MapSheet, collect_maps
from analysis.stats.rank_correlation import LEVEL
from records import Storage

KEY_FIGURE = "localisation_against_outcome"
ESTIMAND_FIGURES = {"granulated_kendall": "psi_by_axis", "sign_error": "sign_error", "regret": "regret"}
"""The figure that stands above an estimand's table."""


def write_report(analysis: Analysis, out_dir: str | Path, maps: Sequence[MapSheet] | None = None) -> Path:
    """Write the report into `out_dir` and return the path of report.html.

    The same analysis gives the same bytes: no file holds a date or a place.

    Args:
        out_dir: made where it does not exist; files of an older report are replaced, others left alone.
        maps: sheets of maps for the gallery; None takes them from the sweep's storage, where there is one.

    Raises:
        AnalysisError: the folder cannot be written.
    """
    from analysis.sections.figures import drawings, png, svg

    missing = [*analysis.trials.missing, *(_not_estimated(*pair) for pair in analysis.estimands.undefined())]
    if maps is None:
        maps, without = collect_maps(analysis.trials, analysis.primary)
        missing += without
    made = drawings(analysis, maps)
    pictures = {drawing.name: png(drawing) for drawing in made}
    all_tables = tables(analysis)
    content = _content(analysis, missing, [d.name for d in made])
    context = {
        **_words(analysis, missing),
        "figures": [
            {
                "name": d.name,
                "title": d.title,
                "caption": d.caption,
                "alt": d.alt,
                "data": base64.b64encode(pictures[d.name]).decode(),
                "width": round(d.figure.get_size_inches()[0] * 96),
            }
            for d in made
        ],
        "tables": {table.name: table for table in all_tables},
    }
    files: dict[str, bytes] = {
        "report.json": json_bytes(content),
        "report.html": render("report.html.j2", context),
        "report.md": render("report.md.j2", context),
        "tables/correlations.csv": grid_csv(analysis.correlations).encode(),
    }
    for drawing in made:
        files[f"figures/{drawing.name}.png"] = pictures[drawing.name]
        files[f"figures/{drawing.name}.svg"] = svg(drawing)
    for table in all_tables:
        files |= {f"tables/{table.name}.{kind}": write(table).encode() for kind, write in WRITERS.items()}
    write_files(Path(out_dir), files)
    return Path(out_dir) / "report.html"


def copy_report(out_dir: str | Path, storage: Storage, sweep: str) -> str:
    """Copy a written report into a sweep's storage, under <sweep>/report/; returns that location.

    Raises:
        StorageError: a file could not be written there.
    """
    folder = Path(out_dir)
    paths = [*folder.glob("report.*"), *folder.glob("figures/*"), *folder.glob("tables/*")]
    for path in sorted(paths):
        storage.write(f"{sweep}/report/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return f"{storage.location}/{sweep}/report"


def _content(analysis: Analysis, missing: list[str], figures: list[str]) -> dict[str, Any]:
    trials = analysis.trials
    content: dict[str, Any] = {
        "generated_by": version(),
        "sweep": trials.sweep,
        "source": trials.source,
        "n_trials": len(trials.table),
        "n_read": trials.n_read,
        "excluded": trials.excluded,
        "primary": asdict(analysis.primary),
        "verdict": asdict(analysis.verdict),
        "reference": asdict(analysis.reference[0]) if analysis.reference else None,
        "reference_by_stratum": [asdict(entry) for entry in analysis.reference[1:]],
        "power": asdict(analysis.power),
        "correlations": [asdict(c) for c in analysis.correlations],
        "degenerate": _degenerate(analysis),
        "without_collapsed": None if analysis.without_collapsed is None else asdict(analysis.without_collapsed),
        "selection_rules": None if analysis.selection_rules is None else asdict(analysis.selection_rules),
        "controls": None if analysis.controls is None else asdict(analysis.controls),
        "disagreements": [asdict(d) for d in analysis.disagreements],
        **{field.name: _as_json(getattr(analysis.estimands, field.name)) for field in fields(analysis.estimands)},
        "methods_paragraph": methods_paragraph(analysis),
        "methods": [asdict(row) for row in analysis.methods],
        "strengths": [asdict(row) for row in analysis.strengths],
        "notes": list(analysis.notes),
        "missing": missing,
        "figures": figures,
        "settings": {
            "smallest_effect": analysis.verdict.smallest_effect,
            "replicates": analysis.replicates,
            "seed": analysis.seed,
            "level": LEVEL,
        },
    }
    return content


def _as_json(value: Any) -> Any:
    return [asdict(entry) for entry in value] if isinstance(value, tuple) else asdict(value)


def _not_estimated(estimand: str, reason: str) -> str:
    return f"Not estimated: {name(estimand)} ({reason})."


def _degenerate(analysis: Analysis) -> dict[str, int]:
    """The primary's cells without a correlation, counted by reason."""
    cells = [c for c in analysis.primary_correlations if (c.scope, c.statistic) == ("cell", "spearman")]
    return dict(sorted(Counter(c.reason for c in cells if c.reason is not None).items()))


def _words(analysis: Analysis, missing: list[str]) -> dict[str, Any]:
    """What the templates print, apart from figures and tables."""
    trials, primary, power = analysis.trials, analysis.primary, analysis.power
    table = trials.table
    score = f"{name(primary.metric)} of {name(primary.attribution)}"
    within = analysis.find("within_cell")
    wanted = (primary.split, primary.metric, primary.attribution)
    own = [d for d in analysis.disagreements if (d.split, d.metric, d.attribution) == wanted]
    paragraph = methods_paragraph(analysis)
    facts = [
        (count(len(table), "trial"), "completed"),
        (count(len(table[["dataset", "data_seed"]].drop_duplicates()), "data seed"), "the unit of independence"),
        (
            count(table["method"].nunique(), "method"),
            ", ".join(sorted(map(name, table["method"].unique()), key=str.casefold)),
        ),
        (
            count(table["dataset"].nunique(), "dataset"),
            ", ".join(sorted(map(name, table["dataset"].unique()))),
        ),
        (
            count(table["severity"].nunique(), "severity", "severities"),
            ", ".join(f"{s:g}" for s in sorted(table["severity"].unique())),
        ),
    ]
    return {
        "version": version(),
        "sweep": trials.sweep,
        "source": trials.source,
        "verdict": analysis.verdict,
        "primary": primary,
        "score": score,
        "facts": facts,
        "within": within,
        "own_disagreements": own,
        "other_disagreements": [d for d in analysis.disagreements if d not in own],
        "power": power,
        "power_words": _power_words(analysis),
        "permutation_words": _permutation_words(within),
        "reference_words": _reference_words(analysis),
        "collapsed_words": "" if analysis.without_collapsed is None else analysis.without_collapsed.sentence,
        "selection_words": "" if analysis.selection_rules is None else analysis.selection_rules.sentence,
        "controls": analysis.controls,
        "estimand_words": estimand_words(analysis),
        "methods_paragraph": paragraph,
        "references": references(paragraph),
        "excluded": trials.excluded,
        "n_excluded": sum(trials.excluded.values()),
        "n_read": trials.n_read,
        "degenerate": _degenerate(analysis),
        "notes": analysis.notes,
        "missing": missing,
        "replicates": f"{analysis.replicates:,}",
        "seed": analysis.seed,
        "threshold": f"{analysis.verdict.smallest_effect:g}",
        "key_figure": KEY_FIGURE,
        "estimand_figures": ESTIMAND_FIGURES,
        "number": number,
        "interval": interval,
        "p_value": p_value,
        "name": name,
    }


def _power_words(analysis: Analysis) -> str:
    power = analysis.power
    if power.within_cell is None:
        return "No cell has a correlation, so no correlation could have been seen."
    text = (
        f"With cells combined, this sweep could see a correlation of {number(power.within_cell)} or more in "
        f"size (two-sided, level {power.alpha:g}, power {power.power:g}) if its trials were independent"
    )
    if power.within_cell_clustered is not None:
        text += f", and of {number(power.within_cell_clustered)} given that trials share data seeds"
    if power.typical_cell is not None:
        text += (
            f"; within a single cell of {count(power.typical_cell_n or 0, 'trial')}, only one of "
            f"{number(power.typical_cell)} or more"
        )
    return text + "."


def _permutation_words(within: Correlation | None) -> str:
    if within is None or within.p_permutation is None:
        return ""
    return (
        "If the map scores of each cell were dealt to its trials at random, data seeds kept whole, a correlation as "
        f"large as this one would come up with probability {p_value(within.p_permutation)}."
    )


def _reference_words(analysis: Analysis) -> str:
    if not analysis.reference:
        return ""
    entry, *strata = analysis.reference
    if entry.estimate is None:
        return f"For comparison, the AUC on the ID test set has no correlation with the outcome: {entry.reason}."
    words = (
        f"For comparison, the AUC on the ID test set, which needs neither map nor mask, has a correlation of "
        f"{_with_interval(entry)} with the outcome within cells."
    )
    if len(strata) > 1:
        words += f" One by one: {'; '.join(f'{where(entry)}: {_with_interval(entry)}' for entry in strata)}."
    return words


def _with_interval(entry: Correlation) -> str:
    return f"{number(entry.estimate)} ({interval(entry.ci_low, entry.ci_high)})"
