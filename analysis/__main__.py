"""The command line of the analysis.

python -m analysis --sweep smoke
python -m analysis --records trials.csv
python -m analysis --tracking-uri sqlite:///mlflow.db --sweep smoke
python -m analysis --sweep smoke --sweep laptop
"""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

import analysis
from analysis.answer.verdict import SMALLEST_EFFECT
from analysis.compare.report import write_comparison
from analysis.progress import progress_bar
from analysis.report.report import copy_report
from analysis.stats.cluster_bootstrap import REPLICATES
from records import StorageError
from records.storage import default_location

DEFAULT_OUT = "report"
DEFAULT_COMPARISON = "comparison"

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def main(
    sweep: Annotated[
        list[str] | None,
        typer.Option(help="Name of the sweep, such as smoke; it may still run. Give two to compare.", metavar="NAME"),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Folder or s3://bucket/prefix that holds the sweep.  [default: SWEEP_STORAGE, else sweeps]",
            metavar="DIR|s3://…",
        ),
    ] = None,
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
    try:
        folder = _folder(out)
        if replicates is not None and 2 in (len(sweep or []), len(records or [])):
            raise analysis.AnalysisError(
                "--replicates sets the bootstrap of one report, and a comparison of two has none; leave it out"
            )
        trials = _trials(sweep or [], storage, records or [], tracking_uri)
        if len(trials) == 2:
            _compare(*_with_distinct_names(trials, records or []), folder, smallest_effect)
        else:
            in_s3 = not records and tracking_uri is None and (storage or default_location()).startswith("s3://")
            _answer(trials[0], folder, in_s3, smallest_effect, REPLICATES if replicates is None else replicates)
    except (analysis.AnalysisError, StorageError) as error:
        print(f"Error: {' '.join(str(error).split())}", file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        raise typer.Exit(130) from None


def _folder(out: str | None) -> Path | None:
    if out is not None and "://" in out:
        raise analysis.AnalysisError(
            f"bad --out {out!r}: give a folder of this machine; the report on a sweep in s3:// is copied there as well"
        )
    return None if out is None else Path(out)


def _answer(trials: analysis.Trials, out: Path | None, in_s3: bool, smallest_effect: float, replicates: int) -> None:
    with progress_bar("correlations") as advance:
        result = analysis.analyse(trials, smallest_effect=smallest_effect, replicates=replicates, progress=advance)
    folder = out or _default_out(trials, in_s3)
    report = analysis.write_report(result, folder)
    print(f"Report: {report}")
    if in_s3 and trials.records is not None:
        print(f"Copied to {copy_report(folder, trials.records.storage, trials.sweep)}/")
    print(result.verdict.sentence)


def _compare(first: analysis.Trials, second: analysis.Trials, out: Path | None, smallest_effect: float) -> None:
    comparison = analysis.compare(first, second, smallest_effect=smallest_effect)
    print(f"Report: {write_comparison(comparison, out or Path(DEFAULT_COMPARISON))}")
    print(comparison.sentence)


def _trials(
    sweeps: list[str], storage: str | None, records: list[Path], tracking_uri: str | None
) -> list[analysis.Trials]:
    if records:
        others = {"--sweep": sweeps or None, "--storage": storage, "--tracking-uri": tracking_uri}
        excess = [flag for flag, value in others.items() if value is not None]
        if excess:
            raise analysis.AnalysisError(f"--records cannot be combined with {', '.join(excess)}; leave it out")
        _check_at_most_two("--records", len(records))
        return [analysis.load_file(path) for path in records]
    if not sweeps:
        raise analysis.AnalysisError(
            "nothing to analyse: give --sweep NAME, --records FILE.csv or .parquet, or --tracking-uri URI --sweep NAME"
        )
    _check_at_most_two("--sweep", len(sweeps))
    if tracking_uri is not None:
        if storage is not None:
            raise analysis.AnalysisError(
                "--storage and --tracking-uri are two sources; give the one to read the sweep from"
            )
        # MLflow would retry an absent server for minutes; one retry is enough for a person who waits.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        with progress_bar("runs read") as advance:
            return [
                analysis.load_mlflow(tracking_uri, sweep, progress=lambda read: advance(read, None)) for sweep in sweeps
            ]
    return [analysis.load_sweep(storage or default_location(), sweep) for sweep in sweeps]


def _check_at_most_two(flag: str, n: int) -> None:
    if n > 2:
        raise analysis.AnalysisError(f"{flag} was given {n} times; give it once for a report, twice for a comparison")


def _with_distinct_names(trials: list[analysis.Trials], records: list[Path]) -> tuple[analysis.Trials, analysis.Trials]:
    """Both, under different names: sweeps' tables are all called trials.parquet, but their folders differ."""
    first, second = trials
    if first.sweep == second.sweep and records:
        named = [f"{path.resolve().parent.name}/{path.stem}" for path in records]
        first, second = (replace(t, sweep=n) for t, n in zip(trials, named, strict=True))
    if first.sweep == second.sweep:
        first, second = (replace(t, sweep=f"{t.sweep} ({n})") for t, n in ((first, "first"), (second, "second")))
    return first, second


def _default_out(trials: analysis.Trials, in_s3: bool) -> Path:
    if trials.records is None or in_s3:
        return Path(DEFAULT_OUT)
    return Path(trials.records.location) / "report"


if __name__ == "__main__":
    app()
