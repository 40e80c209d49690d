"""The command line of the analysis.

python -m analysis --sweep smoke
python -m analysis --records trials.csv
python -m analysis --tracking-uri sqlite:///mlflow.db --sweep smoke
python -m analysis --sweep smoke --sweep laptop
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import analysis
from analysis.answer.verdict import SMALLEST_EFFECT
from analysis.commands import StorageOption, command_line, exit_codes, progress_bar
from analysis.report.last_screen import correlated, what_to_do
from analysis.report.report import copy_report
from analysis.stats.cluster_bootstrap import REPLICATES
from records.secrets import show
from records.storage import default_location

app = command_line()


@app.command()
def main(
    sweep: Annotated[
        list[str] | None,
        typer.Option(help="Name of the sweep, such as smoke; it may still run. Give two to compare.", metavar="NAME"),
    ] = None,
    storage: StorageOption = None,
    records: Annotated[
        list[Path] | None,
        typer.Option(
            help="A .csv or .parquet table of trials, such as sweeps/smoke/trials.parquet. Give two to compare.",
            metavar="FILE",
        ),
    ] = None,
    tracking_uri: Annotated[
        str | None, typer.Option(help="Read the sweep from MLflow, such as sqlite:///mlflow.db.", metavar="URI")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            help="Folder for the report.  [default: STORAGE/SWEEP/report, report without a local sweep, comparison for "
            "two]",
            metavar="DIR",
        ),
    ] = None,
    smallest_effect: Annotated[
        float, typer.Option(help="Smallest rank correlation of interest, between 0 and 1.")
    ] = SMALLEST_EFFECT,
    replicates: Annotated[
        int | None, typer.Option(help=f"Replicates of the cluster bootstrap.  [default: {REPLICATES}]")
    ] = None,
) -> None:
    """Report whether better maps go with better generalization, from a sweep's records.

    With two sweeps or two tables, compare them.

    Exit codes: 0 done; 2 bad arguments or no such data; 130 interrupted.
    """
    with exit_codes():
        if out is not None and "://" in out:
            raise analysis.AnalysisError(
                f"bad --out {out!r}: give a folder of this machine; the report on a sweep in s3:// is also copied there"
            )
        if replicates is not None and 2 in (len(sweep or []), len(records or [])):
            raise analysis.AnalysisError(
                "--replicates sets the bootstrap of one report, and a comparison of two has none; leave it out"
            )
        trials = _trials(sweep or [], storage, records or [], tracking_uri)
        if len(trials) == 2:
            first, second = _with_distinct_names(trials, records or [])
            comparison = analysis.compare(first, second, smallest_effect=smallest_effect)
            show(f"Report: {analysis.write_comparison(comparison, out or 'comparison')}\n{comparison.sentence}")
            return
        with progress_bar("correlations") as advance:
            result = analysis.analyse(
                trials[0],
                smallest_effect=smallest_effect,
                replicates=REPLICATES if replicates is None else replicates,
                progress=advance,
            )
        stored = result.trials.records
        in_s3 = stored is not None and stored.storage.location.startswith("s3://")
        folder = out or ("report" if stored is None or in_s3 else f"{stored.location}/report")
        show(f"Report: {analysis.write_report(result, folder)}")
        if stored is not None and in_s3:
            show(f"Copied to {copy_report(folder, stored.storage, result.trials.sweep)}/")
        console = Console(color_system=None, highlight=False)
        with console.capture() as screen:
            for part in filter(None, (what_to_do(result), correlated(result))):
                console.print("", part)
        show(screen.get(), end="")
        if correlated(result) is None:
            show(result.verdict.sentence)


def _trials(
    sweeps: list[str], storage: str | None, records: list[Path], tracking_uri: str | None
) -> list[analysis.Trials]:
    for flag, n in (("--records", len(records)), ("--sweep", len(sweeps))):
        if n > 2:
            raise analysis.AnalysisError(f"{flag} was given {n} times; give it once for a report, twice to compare")
    if records:
        others = {"--sweep": sweeps or None, "--storage": storage, "--tracking-uri": tracking_uri}
        excess = [flag for flag, value in others.items() if value is not None]
        if excess:
            raise analysis.AnalysisError(f"--records cannot be combined with {', '.join(excess)}; leave it out")
        return [analysis.load_file(path) for path in records]
    if not sweeps:
        raise analysis.AnalysisError(
            "nothing to analyse: give --sweep NAME, --records FILE.csv or .parquet, or --tracking-uri URI --sweep NAME"
        )
    if tracking_uri is None:
        return [analysis.load_sweep(storage or default_location(), sweep) for sweep in sweeps]
    if storage is not None:
        raise analysis.AnalysisError("--storage and --tracking-uri are two sources; give the one to read from")
    with progress_bar("runs read") as advance:
        return [analysis.load_mlflow(tracking_uri, sweep, progress=lambda n: advance(n, None)) for sweep in sweeps]


def _with_distinct_names(trials: list[analysis.Trials], records: list[Path]) -> tuple[analysis.Trials, analysis.Trials]:
    """Both, under different names; two tables called trials.parquet take the names of their folders."""
    names = [t.sweep for t in trials]
    if names[0] == names[1] and records:
        names = [f"{path.resolve().parent.name}/{path.stem}" for path in records]
    if names[0] == names[1]:
        names = [f"{names[0]} (first)", f"{names[1]} (second)"]
    return replace(trials[0], sweep=names[0]), replace(trials[1], sweep=names[1])


if __name__ == "__main__":
    app()
