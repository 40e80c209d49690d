"""Trials from an MLflow tracking server: the mirror that a sweep keeps of its records.

Runs are read a page at a time. A sweep's mirror stamps the parent run at every change of a trial's run; what was
read is kept in the user's cache folder under that stamp, and taken from there while the stamp and the number of runs
are still the same. Without a stamp nothing is kept.
"""

import gc
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import platformdirs

from analysis.errors import AnalysisError
from analysis.trials.exclusions import trials_from_table
from analysis.trials.trials import Trials
from records.columns import MIRROR_STAMP

PAGE = 1000
"""Runs asked for at once."""
TEXTS = ("dataset", "method", "model", "preset", "selection")
"""Parameters that stay text even where they look like a number."""
TAGS = ("trial_key", "sweep", "status", "collapsed", "stopped_early")
"""Tags that are columns of a record."""


def load_mlflow(
    tracking_uri: str, sweep: str, *, cache: bool = True, progress: Callable[[int], None] | None = None
) -> Trials:
    """The trials of the experiment named `sweep`: its runs with the tag kind = trial.

    Parameters become the configuration columns, metrics the scores, and the tags trial_key, status, collapsed and
    stopped_early themselves. The maps are not fetched, and the primary is the default one.

    Args:
        tracking_uri: of the MLflow server or database.
        sweep: the experiment's name.
        cache: whether unchanged runs may be taken from the user's cache folder, and are kept there.
        progress: called with the number of runs read so far.

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
        kept = _Cache(client, tracking_uri, experiment.experiment_id) if cache else None
        rows = kept.read() if kept else None
        if rows is None:
            rows = _rows(client, experiment.experiment_id, progress)
            if kept:
                kept.write(rows)
    except MlflowException as error:
        reason = _without_password(str(error).splitlines()[0])[:200]
        raise AnalysisError(f"cannot read {shown!r}: {reason}; check --tracking-uri") from error
    if not rows:
        raise AnalysisError(f"{source} has no run with the tag kind = trial; check --sweep")
    return trials_from_table(pd.DataFrame(rows), sweep=sweep, source=source, free_primary=False)


def _without_password(text: str) -> str:
    """The text with user and password taken out of every address: messages and reports are passed on."""
    return re.sub(r"//[^/@\s]*@", "//", text)


def _rows(client: Any, experiment_id: str, progress: Callable[[int], None] | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    token = None
    while True:
        with _one_collection():
            page = _page(client, experiment_id, PAGE, token)
            rows += [_row(run) for run in page]
        if progress is not None:
            progress(len(rows))
        token = page.token
        if not token:
            return rows


@contextmanager
def _one_collection() -> Iterator[None]:
    """Garbage is collected once, at the end, if it is collected at all.

    A page of runs is some 100,000 objects of SQLAlchemy's; with the collector looking through them time and again,
    reading takes three times as long.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
            gc.collect()


def _page(client: Any, experiment_id: str, size: int, token: str | None) -> Any:
    return client.search_runs(
        [experiment_id],
        filter_string="tags.kind = 'trial'",
        # A fixed order, so that paging neither repeats nor skips a run.
        order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
        max_results=size,
        page_token=token,
    )


class _Cache:
    """The rows of one experiment as they were under the parent run's present stamp."""

    def __init__(self, client: Any, tracking_uri: str, experiment_id: str):
        self.client, self.experiment_id = client, experiment_id
        # Read before the runs are: a change in the meantime gives a new stamp, and this one is never asked for again.
        self.stamp = self._stamp()
        # The password is no part of it; two databases at one relative address are not the same.
        where = f"{_without_password(tracking_uri)} {experiment_id}"
        if tracking_uri.startswith("sqlite:///"):
            where += f" {Path(tracking_uri.removeprefix('sqlite:///')).resolve()}"
        self.key = hashlib.sha256(where.encode()).hexdigest()[:16]
        self.folder = Path(platformdirs.user_cache_dir("saliency-sweep")) / "mlflow"

    def read(self) -> list[dict[str, Any]] | None:
        if self.stamp is None:
            return None
        try:
            rows: list[dict[str, Any]] = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return None
        return rows if self._still(len(rows)) else None

    def write(self, rows: list[dict[str, Any]]) -> None:
        if self.stamp is None or not rows:
            return
        with suppress(OSError):  # a cache that cannot be written is no failure
            self.folder.mkdir(parents=True, exist_ok=True)
            for old in self.folder.glob(f"{self.key}-*.json"):
                old.unlink(missing_ok=True)
            part = self._file.with_suffix(f".{os.getpid()}.part")
            part.write_text(json.dumps(rows))
            part.replace(self._file)

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.key}-{self.stamp}.json"

    def _stamp(self) -> str | None:
        parents = self.client.search_runs([self.experiment_id], "tags.kind = 'sweep'", max_results=2)
        found = parents[0].data.tags.get(MIRROR_STAMP) if len(parents) == 1 else None
        return found if found and re.fullmatch(r"[0-9a-f]{32}", found) else None

    def _still(self, n: int) -> bool:
        """Whether there are n runs: the last of them is the last."""
        from mlflow.utils.search_utils import SearchUtils

        return (
            len(_page(self.client, self.experiment_id, 2, SearchUtils.create_page_token(n - 1) if n > 1 else None)) == 1
        )


def _row(run: Any) -> dict[str, Any]:
    params = {name: text if name in TEXTS else _value(text) for name, text in run.data.params.items()}
    tags = {name: run.data.tags[name] for name in TAGS if name in run.data.tags}
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
