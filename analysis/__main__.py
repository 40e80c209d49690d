"""The command line of the analysis.

python -m analysis --sweep smoke
python -m analysis --records trials.csv
python -m analysis --tracking-uri sqlite:///mlflow.db --sweep smoke
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

import analysis
from analysis.cluster_bootstrap import REPLICATES
from analysis.report import copy_report
from analysis.verdict import SMALLEST_EFFECT
from records import StorageError

DEFAULT_STORAGE = "sweeps"
DEFAULT_OUT = "report"

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def main(
    sweep: Annotated[str | None, typer.Option(help="Name of the sweep, such as smoke.")] = None,
    storage: Annotated[
        str | None, typer.Option(help="Folder or s3://bucket/prefix that holds the sweep.  [default: sweeps]")
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(help="A .csv or .parquet table of trials, such as sweeps/smoke/trials.parquet."),
    ] = None,
    tracking_uri: Annotated[
        str | None, typer.Option(help="Read the sweep from MLflow, such as sqlite:///mlflow.db.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the report.  [default: STORAGE/SWEEP/report, or report without a local sweep]"),
    ] = None,
    smallest_effect: Annotated[
        float, typer.Option(help="Smallest rank correlation of interest, between 0 and 1.")
    ] = SMALLEST_EFFECT,
    replicates: Annotated[int, typer.Option(help="Replicates of the cluster bootstrap.")] = REPLICATES,
) -> None:
    """Answer from a sweep's records whether better maps go with better generalization; write the report."""
    try:
        trials = _trials(sweep, storage, records, tracking_uri)
        result = analysis.analyse(trials, smallest_effect=smallest_effect, replicates=replicates)
        in_s3 = records is None and tracking_uri is None and (storage or "").startswith("s3://")
        folder = out or _default_out(trials, in_s3)
        report = analysis.write_report(result, folder)
        print(f"Report: {report}")
        if in_s3 and trials.records is not None:
            print(f"Copied to {copy_report(folder, trials.records.storage, trials.sweep)}/")
        print(result.verdict.sentence)
    except (analysis.AnalysisError, StorageError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise typer.Exit(2) from None


def _trials(sweep: str | None, storage: str | None, records: Path | None, tracking_uri: str | None) -> analysis.Trials:
    if records is not None:
        others = {"--sweep": sweep, "--storage": storage, "--tracking-uri": tracking_uri}
        given = [flag for flag, value in others.items() if value is not None]
        if given:
            raise analysis.AnalysisError(f"--records stands alone, but {', '.join(given)} was given too; leave it out")
        return analysis.load_file(records)
    if sweep is None:
        raise analysis.AnalysisError(
            "nothing to analyse: give --sweep NAME, --records FILE.csv or .parquet, or --tracking-uri URI --sweep NAME"
        )
    if tracking_uri is not None:
        if storage is not None:
            raise analysis.AnalysisError(
                "--storage and --tracking-uri name two sources; give the one to read the sweep from"
            )
        # MLflow would retry an absent server for minutes; once more is enough for a person who waits.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        return analysis.load_mlflow(tracking_uri, sweep)
    return analysis.load_sweep(storage or DEFAULT_STORAGE, sweep)


def _default_out(trials: analysis.Trials, in_s3: bool) -> Path:
    if trials.records is None or in_s3:
        return Path(DEFAULT_OUT)
    return Path(trials.records.location) / "report"


if __name__ == "__main__":
    app()
