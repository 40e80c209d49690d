"""The command that shows a sweep's results beside the published ones, as Markdown.

python -m analysis.paper --records sweeps/paper_seeds/trials.parquet
python -m analysis.paper --sweep paper_seeds --out table.md
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from analysis.errors import AnalysisError
from analysis.numbers import column_name, name, number
from analysis.paper.published import PUBLISHED, Place
from analysis.sections.methods import spread
from analysis.trials.exclusions import OTHER_SELECTION
from analysis.trials.load import load_file, load_sweep
from analysis.trials.trials import Trials
from records import StorageError, columns
from records.storage import default_location

METRICS = ("iou", "iop", "iot")
ATTRIBUTIONS = ("input_gradient", "integrated_gradients", "occlusion")
"""Beside one another in each cell of a metric."""
SCORES = (
    (columns.performance("test_ood", "auc"),),
    *(tuple(columns.localisation("test_ood", metric, a) for a in ATTRIBUTIONS) for metric in METRICS),
)
"""Record columns of each cell of a row."""
VARIANTS = ("preset", "selection")
"""Settings by which a method has rows of its own."""
SHOWN = ("model", "epochs", "hp.batch_size", "hp.n_train", "hp.n_valid", "hp.n_test", "hp.integrated_gradients_steps")
"""Settings named above a table whose trials all share them."""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def main(
    records: Annotated[
        Path | None, typer.Option(help="A .csv or .parquet table of trials, such as sweeps/paper_seeds/trials.parquet.")
    ] = None,
    sweep: Annotated[str | None, typer.Option(help="Name of a sweep, instead of --records.")] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="Folder or s3://bucket/prefix that holds the sweep.  [default: SWEEP_STORAGE, else sweeps]"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for the tables.  [default: they are printed]")] = None,
) -> None:
    """Mean and standard deviation over seeds by method, preset and selection rule, beside the published values."""
    try:
        if (records is None) == (sweep is None):
            raise AnalysisError("give one of --records FILE.csv or .parquet and --sweep NAME")
        trials = load_file(records) if records is not None else load_sweep(storage or default_location(), str(sweep))
        text = paper_tables(trials)
        if out is not None:
            _write(out, text)
            print(f"Tables: {out}")
        else:
            print(text, end="")
    except (AnalysisError, StorageError) as error:
        print(f"Error: {' '.join(str(error).split())}", file=sys.stderr)
        raise typer.Exit(2) from None


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise AnalysisError(
            f"cannot write {str(path)!r}: {error.strerror or error}; give --out another file"
        ) from error


def paper_tables(trials: Trials) -> str:
    """One Markdown table for each published (dataset, severity) among the trials.

    Values are mean ± standard deviation (n − 1 in the denominator) over seeds, on the OOD test set. Each method has a
    row per preset and selection rule.

    Raises:
        AnalysisError: the trials have no dataset and severity with published results, or those of one row differ in
            more than their seeds.
    """
    table = trials.table if trials.all_selections is None else trials.all_selections
    places = [place for place in PUBLISHED if len(_at(table, place))]
    if not places:
        has = sorted(set(zip(table["dataset"], table["severity"], strict=True)))
        raise AnalysisError(
            f"{trials.source}: there are published results for {_places(PUBLISHED)}, but trials of {_places(has)}; "
            "give a table with trials of one of the former"
        )
    parts = [_section(_at(table, place), place) for place in places]
    reasons = {reason: n for reason, n in trials.excluded.items() if not reason.startswith(OTHER_SELECTION)}
    if reasons:
        parts.append("Left out: " + ", ".join(f"{n} {reason}" for reason, n in reasons.items()) + ".\n")
    return "\n".join(parts)


def _at(table: pd.DataFrame, place: Place) -> pd.DataFrame:
    return table[(table["dataset"] == place[0]) & (table["severity"] == place[1])]


def _section(table: pd.DataFrame, place: Place) -> str:
    published = PUBLISHED[place]
    variant = table[[column for column in VARIANTS if column in table]].astype(str)
    variants = sorted(set(map(tuple, variant.to_numpy().tolist())), reverse=True)
    rows = []
    for method in [*published, *sorted(set(table["method"]) - set(published))]:
        if method in published:
            rows.append([name(method), "published", "about 10", *_scores(published[method])])
        for values in variants:
            part = table[(table["method"] == method) & (variant == list(values)).all(axis=1)]
            _check_only_seeds_differ(part, f"{method} on {place[0]}, {' '.join(values)}")
            rows.append([name(method), " ".join(values) or "this sweep", str(len(part)), *_scores(_own_results(part))])
    headings = ("method", "source", "seeds", "OOD AUC", *(name(metric) for metric in METRICS))
    attributions = ", ".join(name(attribution) for attribution in ATTRIBUTIONS)
    lines = [
        f"## {name(place[0])}, severity {place[1]:g}",
        "",
        f"Mean ± sd over seeds, on the OOD test set; localisation by {attributions}.{_shared(table)}",
        "",
        f"| {' | '.join(headings)} |",
        "| --- | --- | ---: | --- | --- | --- | --- |",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]
    return "\n".join(lines)


def _own_results(part: pd.DataFrame) -> dict[str, tuple[float | None, float | None]]:
    """As in `PUBLISHED`, with None where there is no value, or for the deviation of a single one."""
    values = {c: part[c].dropna() if c in part else pd.Series(dtype=np.float64) for cell in SCORES for c in cell}
    spreads = {column: spread(known.to_numpy(dtype=np.float64)) for column, known in values.items()}
    return {column: (score.mean, score.sd) for column, score in spreads.items()}


def _scores(results: Mapping[str, tuple[float | None, float | None]]) -> list[str]:
    return [", ".join(_mean_sd(*results[c]) for c in cell if c in results) or number(None) for cell in SCORES]


def _mean_sd(mean: float | None, sd: float | None) -> str:
    return number(mean) if sd is None else f"{number(mean)} ± {number(sd)}"


def _check_only_seeds_differ(part: pd.DataFrame, what: str) -> None:
    """Refuse a row that would be a mean over settings too."""
    for column in columns.configuration_in(part):
        values = sorted(part[column].astype(str).unique())
        if len(values) > 1:
            shown = ", ".join(values[:4]) + (", …" if len(values) > 4 else "")
            raise AnalysisError(
                f"the trials of {what} differ in {column} ({shown}): a row is a mean over seeds alone; "
                "give a table with one of the values"
            )


def _shared(table: pd.DataFrame) -> str:
    """Name the settings that all trials of the section share."""
    settings = []
    for column in SHOWN:
        values = list(table[column].unique()) if column in table else []
        if len(values) == 1 and pd.notna(value := values[0]):
            shown = value if isinstance(value, str) else f"{value:g}"
            settings.append(f"{column_name(column)} {shown}")
    return f" This sweep: {', '.join(settings)}." if settings else ""


def _places(places: Iterable[Place]) -> str:
    return "; ".join(f"{dataset} at severity {severity:g}" for dataset, severity in places)


if __name__ == "__main__":
    app()
