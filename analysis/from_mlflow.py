"""Trials from an MLflow tracking server: the mirror that a sweep keeps of its records."""

import re
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.trials import Trials
from analysis.validate import trials_from_table

PAGE = 1000
"""Runs asked for at once."""
TEXTS = ("dataset", "method", "model", "preset", "selection")
"""Parameters that stay text even where they look like a number."""


def load_mlflow(tracking_uri: str, sweep: str) -> Trials:
    """The trials of the experiment named `sweep`: its runs with the tag kind = trial.

    Parameters become the configuration columns, metrics the scores, and the tags trial_key and status
    themselves. The maps are not fetched, and the primary is the default one.

    Raises:
        AnalysisError: the server or database cannot be reached, has no such experiment, or it holds no trial.
    """
    _check_database(tracking_uri)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    shown = _without_password(tracking_uri)
    source = f"experiment {sweep!r} at {shown}"
    try:
        client = MlflowClient(tracking_uri=tracking_uri)
        experiment = client.get_experiment_by_name(sweep)
        if experiment is None:
            names = sorted(e.name for e in client.search_experiments())
            raise AnalysisError(
                f"no experiment {sweep!r} at {shown}: it has {', '.join(names) or 'none'}; check --sweep"
            )
        rows = _rows(client, experiment.experiment_id)
    except MlflowException as error:
        reason = _without_password(str(error).splitlines()[0])[:200]
        raise AnalysisError(f"cannot read {shown!r}: {reason}; check --tracking-uri") from error
    if not rows:
        raise AnalysisError(f"{source} has no run with the tag kind = trial; check --sweep")
    return trials_from_table(pd.DataFrame(rows), sweep=sweep, source=source, free_primary=False)


def _without_password(text: str) -> str:
    """The text with user and password taken out of every address: messages and reports are passed on."""
    return re.sub(r"//[^/@\s]*@", "//", text)


def _rows(client: Any, experiment_id: str) -> list[dict[str, Any]]:
    rows, token = [], None
    while True:
        page = client.search_runs(
            [experiment_id],
            filter_string="tags.kind = 'trial'",
            # A fixed order, so that paging neither repeats nor skips a run.
            order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
            max_results=PAGE,
            page_token=token,
        )
        rows += [_row(run) for run in page]
        token = page.token
        if not token:
            return rows


def _row(run: Any) -> dict[str, Any]:
    params = {name: text if name in TEXTS else _value(text) for name, text in run.data.params.items()}
    tags = {name: run.data.tags[name] for name in ("trial_key", "sweep", "status") if name in run.data.tags}
    return {**run.data.metrics, **params, **tags, "mlflow_run_id": run.info.run_id}


def _value(text: str) -> float | str | None:
    """A parameter's text as the number it spells, as missing, or as it is."""
    if text in ("", "None", "null", "nan", "NaN"):
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _check_database(tracking_uri: str) -> None:
    # Opening a SQLite address that does not exist would create an empty database under the mistyped name.
    if tracking_uri.startswith("sqlite:///") and not Path(tracking_uri.removeprefix("sqlite:///")).is_file():
        raise AnalysisError(
            f"cannot read {tracking_uri!r}: there is no such database; check --tracking-uri or run the sweep first"
        )
