"""The command that shows a sweep's results beside the published ones, as Markdown.

python -m analysis.paper --records sweeps/paper_seeds/trials.parquet
python -m analysis.paper --sweep paper_seeds --out table.md
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, cast

import pandas as pd
import typer

from analysis.commands import StorageOption, command_line, exit_codes
from analysis.errors import AnalysisError
from analysis.numbers import column_name, name, number
from analysis.trials.load import load_file, load_sweep
from analysis.trials.trials import Exclusion, Trials
from records import columns
from records.secrets import show
from records.storage import default_location

METRICS = ("iou", "iop", "iot")
ATTRIBUTIONS = ("input_gradient", "integrated_gradients", "occlusion")
SCORES = (
    (columns.performance("test_ood", "auc"),),
    *(tuple(columns.localisation("test_ood", metric, a) for a in ATTRIBUTIONS) for metric in METRICS),
)
"""Record columns of each entry of a row."""
VARIANTS = ("preset", "selection")
"""Settings for which a method has separate rows."""
SHOWN = ("model", "epochs", "hp.batch_size", "hp.n_train", "hp.n_valid", "hp.n_test", "hp.integrated_gradients_steps")
"""Settings named above a table if all of its trials share them."""

Place = tuple[str, float]
"""Dataset and severity."""

_ROWS: Any = pd.read_csv(Path(__file__).with_name("published.csv"))
PUBLISHED: dict[Place, pd.DataFrame] = dict(iter(_ROWS.groupby(["dataset", "severity"], sort=False)))
"""Rows of published.csv by place. Nothing is tuned to them.

Source: Viviano et al., ICLR 2021 (arXiv 1910.00199), mean and standard deviation over about ten seeds, from the
authors' tables of 16 November 2020; "shuffled" is from an earlier version of these tables, AUC alone. Severity 0.8 is
the paper's ratio r = 0.9, severity 0 is r = 0.5.
"""

app = command_line()


@app.command()
def main(
    records: Annotated[
        Path | None, typer.Option(help="A .csv or .parquet table of trials, such as sweeps/paper_seeds/trials.parquet.")
    ] = None,
    sweep: Annotated[str | None, typer.Option(help="Name of a sweep, instead of --records.")] = None,
    storage: StorageOption = None,
    out: Annotated[Path | None, typer.Option(help="File for the tables.  [default: they are printed]")] = None,
) -> None:
    """Mean and standard deviation over seeds by method, preset and selection rule, beside the published values."""
    with exit_codes():
        if (records is None) == (sweep is None):
            raise AnalysisError("give one of --records FILE.csv or .parquet and --sweep NAME")
        trials = load_file(records) if records is not None else load_sweep(storage or default_location(), str(sweep))
        text = paper_tables(trials)
        if out is None:
            show(text, end="")
            return
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(text, encoding="utf-8")
        except OSError as error:
            why = error.strerror or error
            raise AnalysisError(f"cannot write {str(out)!r}: {why}; give --out another file") from error
        show(f"Tables: {out}")


def paper_tables(trials: Trials) -> str:
    """One Markdown table for each published (dataset, severity) among the trials.

    Raises:
        AnalysisError: no trial has published results beside it, or the trials of one row differ in more than seeds.
    """
    table = trials.table if trials.all_selections is None else trials.all_selections
    by_place: dict[Place, pd.DataFrame] = dict(iter(cast("Any", table.groupby(["dataset", "severity"]))))
    if not by_place.keys() & PUBLISHED.keys():
        raise AnalysisError(
            f"{trials.source}: there are published results for {_places(PUBLISHED)}, but trials of "
            f"{_places(by_place)}; give a table with trials of one of the former"
        )
    parts = [_section(by_place[place], place) for place in PUBLISHED if place in by_place]
    left_out = [f"{n} {r}" for r, n in trials.reasons.items() if r.exclusion is not Exclusion.OTHER_SELECTION]
    if left_out:
        parts.append(f"Left out: {', '.join(left_out)}.\n")
    return "\n".join(parts)


def _section(table: pd.DataFrame, place: Place) -> str:
    by_method: Any = PUBLISHED[place].groupby("method", sort=False)
    published = {str(method): rows.set_index("column") for method, rows in by_method}
    variant = table[[column for column in VARIANTS if column in table]].astype(str)
    variants = sorted(set(map(tuple, variant.to_numpy().tolist())), reverse=True)
    rows = []
    for method in [*published, *sorted(set(table["method"]) - set(published))]:
        if method in published:
            rows.append([name(method), "published", "about 10", *_entries(published[method])])
        for values in variants:
            trials = table[(table["method"] == method) & (variant == list(values)).all(axis=1)]
            _check_only_seeds_differ(trials, f"{method} on {place[0]}, {' '.join(values)}")
            scores = trials.reindex(columns=[column for entry in SCORES for column in entry]).astype(float)
            results = pd.DataFrame({"mean": scores.mean(), "sd": scores.std(ddof=1)})
            rows.append([name(method), " ".join(values) or "this sweep", str(len(trials)), *_entries(results)])
    headings = ("method", "source", "seeds", "OOD AUC", *map(name, METRICS))
    attributions = ", ".join(map(name, ATTRIBUTIONS))
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


def _entries(results: pd.DataFrame) -> list[str]:
    """The texts of each entry, from the columns mean and sd (NaN where there is none) by record column."""
    pairs = zip(results["mean"], results["sd"], strict=True)
    texts = [number(mean) + ("" if pd.isna(sd) else f" ± {number(sd)}") for mean, sd in pairs]
    by_column = dict(zip(results.index, texts, strict=True))
    return [", ".join(by_column[c] for c in entry if c in by_column) or number(None) for entry in SCORES]


def _check_only_seeds_differ(trials: pd.DataFrame, row: str) -> None:
    """Refuse a row that would be a mean over settings too."""
    for column in columns.configuration_in(trials):
        values = sorted(trials[column].astype(str).unique())
        if len(values) > 1:
            shown = ", ".join(values[:4]) + (", …" if len(values) > 4 else "")
            raise AnalysisError(
                f"the trials of {row} differ in {column} ({shown}): a row is a mean over seeds alone; "
                "give a table with one of the values"
            )


def _shared(table: pd.DataFrame) -> str:
    """Name the settings that all trials of the section share."""
    shared = [column for column in SHOWN if column in table and table[column].nunique(dropna=False) == 1]
    values = ((column_name(column), table[column].iloc[0]) for column in shared)
    texts = [f"{label} {v if isinstance(v, str) else f'{v:g}'}" for label, v in values if pd.notna(v)]
    return f" This sweep: {', '.join(texts)}." if texts else ""


def _places(places: Iterable[Place]) -> str:
    return "; ".join(f"{dataset} at severity {severity:g}" for dataset, severity in places)


if __name__ == "__main__":
    app()
