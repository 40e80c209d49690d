"""Trials from an MLflow tracking server, where a sweep mirrors its records.

Runs are read a page at a time. A sweep's mirror stamps the parent run at every change of a trial's run. The rows read
are cached in the user's cache folder under that stamp, and used again while the stamp and the number of runs are
unchanged. Without a stamp nothing is cached.
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
from records import columns
from records.database import DatabaseError, check_database, database_file
from records.mirror_names import PLACES, column_of_metric, unpack
from records.secrets import scrub

PAGE = 1000
"""Runs per request."""
TAGS = ("trial_key", "sweep", "status", columns.COLLAPSED, *PLACES)
"""Tags that are columns of a record; they come before parameters of their name."""


def load_mlflow(
    tracking_uri: str, sweep: str, *, cache: bool = True, progress: Callable[[int], None] | None = None
) -> Trials:
    """The trials of the experiment `sweep`: its runs with the tag kind = trial.

    Parameters become columns of the configuration, metrics the scores, and `TAGS` the columns of the same name. Maps
    are not fetched, and the primary is the default one.

    Args:
        tracking_uri: of the MLflow server or database.
        sweep: name of the experiment.
        cache: whether to use and fill the cache in the user's cache folder.
        progress: called with the number of runs read so far.

    Raises:
        AnalysisError: the server or database cannot be read, has no such experiment, or the experiment has no trial.
    """
    shown = scrub(tracking_uri)
    try:
        check_database(tracking_uri)
    except DatabaseError as error:
        raise AnalysisError(f"cannot read {shown!r}: {error}; check --tracking-uri") from error
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    source = f"experiment {sweep!r} at {shown}"
    try:
        client = MlflowClient(tracking_uri=tracking_uri)
        experiment = client.get_experiment_by_name(sweep)
        if experiment is None:
            names = sorted(e.name for e in client.search_experiments())
            raise AnalysisError(
                f"no experiment {sweep!r} at {shown}: it has {', '.join(names) or 'none'}; check --sweep"
            )
        cached = _Cache(client, tracking_uri, experiment.experiment_id) if cache else None
        rows = cached.read() if cached else None
        if rows is None:
            rows = _rows(client, experiment.experiment_id, progress)
            if cached:
                cached.write(rows)
    except MlflowException as error:
        reason = scrub(str(error).splitlines()[0])[:200]
        raise AnalysisError(f"cannot read {shown!r}: {reason}; check --tracking-uri") from error
    if not rows:
        raise AnalysisError(f"{source} has no run with the tag kind = trial; check --sweep")
    return trials_from_table(pd.DataFrame(rows), sweep=sweep, source=source, free_primary=False)


def _rows(client: Any, experiment_id: str, progress: Callable[[int], None] | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    token = None
    while True:
        with _without_garbage_collection():
            page = _page(client, experiment_id, PAGE, token)
            rows += [_row(run) for run in page]
        if progress is not None:
            progress(len(rows))
        token = page.token
        if not token:
            return rows


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Collect garbage once at the end, if the collector is enabled at all.

    A page of runs makes some 100,000 SQLAlchemy objects; with the collector scanning them repeatedly, reading takes
    three times as long.
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
        # In a fixed order, paging neither repeats nor skips a run.
        order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
        max_results=size,
        page_token=token,
    )


class _Cache:
    """The rows of one experiment, valid under the parent run's current stamp."""

    def __init__(self, client: Any, tracking_uri: str, experiment_id: str):
        self.client, self.experiment_id = client, experiment_id
        # Read before the runs: a later change gives a new stamp, and this one is never looked up again.
        self.stamp = self._stamp()
        # The key leaves out the password, and tells apart two databases at one relative address.
        where = f"{scrub(tracking_uri)} {experiment_id}"
        if (database := database_file(tracking_uri)) is not None:
            where += f" {database.resolve()}"
        self.key = hashlib.sha256(where.encode()).hexdigest()[:16]
        self.folder = Path(platformdirs.user_cache_dir("saliency-sweep")) / "mlflow"

    def read(self) -> list[dict[str, Any]] | None:
        if self.stamp is None:
            return None
        try:
            rows: list[dict[str, Any]] = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return None
        return rows if self._has_runs(len(rows)) else None

    def write(self, rows: list[dict[str, Any]]) -> None:
        if self.stamp is None or not rows:
            return
        with suppress(OSError):  # a cache that cannot be written is no error
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
        stamp = parents[0].data.tags.get(columns.MIRROR_STAMP) if len(parents) == 1 else None
        return stamp if stamp and re.fullmatch(r"[0-9a-f]{32}", stamp) else None

    def _has_runs(self, n: int) -> bool:
        """Whether there are exactly n runs: a page from the n-th on holds one."""
        from mlflow.utils.search_utils import SearchUtils

        token = SearchUtils.create_page_token(n - 1) if n > 1 else None
        return len(_page(self.client, self.experiment_id, 2, token)) == 1


def _row(run: Any) -> dict[str, Any]:
    # Metrics had their column's own name once; a run that was mirrored again has both, and the present one is right.
    metrics = sorted(run.data.metrics.items(), key=lambda item: "/" in item[0])
    numbers = {column_of_metric(name): value for name, value in metrics} | unpack(run.data.tags)
    params = {name: _value(name, text) for name, text in run.data.params.items()}
    tags = {name: run.data.tags[name] for name in TAGS if name in run.data.tags}
    return {**numbers, **params, **tags, "mlflow_run_id": run.info.run_id}


def _value(name: str, text: str) -> float | str | None:
    """A parameter as a number if its text is one, as None if its text says missing; a column of texts stays text."""
    if columns.column_of(name).kind == "text":
        return text
    if text in ("", "None", "null", "nan", "NaN"):
        return None
    try:
        return float(text)
    except ValueError:
        return text
