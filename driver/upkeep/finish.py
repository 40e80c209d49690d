"""The end of a sweep: the table, the analysis, the report in storage and in MLflow, the answer and its summary."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console, Group

import analysis
from analysis.report.report import copy_report
from analysis.trials.load import trials_of_sweep
from driver import StoppedError
from driver.plan.plan import Plan
from driver.terminal import say
from driver.upkeep import parent_run
from driver.upkeep.summary import correlated, methods_summary, more
from records import SweepRecords, columns
from records.mirror import Experiment, MirrorError, mirror_sweep
from records.storage import FolderStorage
from records.store import LoadedRecords

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as a run's description."""


@dataclass(frozen=True)
class Outcome:
    """The result of a sweep. Counts are of the plan's trials."""

    report: str | None
    """Its location; None without a report."""
    answer: str
    completed: int
    failed: int
    diverged: int
    not_mirrored: int = 0
    """Number of the sweep's trials that are missing from MLflow."""
    correlated: str | None = None
    """What the numbers of the answer are."""
    methods: Group | None = None
    """Results of the methods at the largest severity."""
    more: str | None = None
    """Which trials would answer more."""


def report_is_outdated(records: SweepRecords) -> bool:
    """Whether a record is newer than the report, as after a command that was killed once its last trial was done."""
    report = records.storage.files(f"{records.name}/report/").get(f"{records.name}/report/report.html")
    newest = [file.modified for file in records.storage.files(f"{records.name}/records/").values()]
    return report is not None and bool(newest) and max(newest) > report.modified


def finish(
    records: SweepRecords,
    loaded: LoadedRecords,
    plan: Plan,
    experiment: Experiment | None,
    changed: bool,
    console: Console,
) -> Outcome:
    """Write the table and the report on all records, log them to MLflow, and return the answer.

    Args:
        records: the sweep's records.
        loaded: the same, as read.
        plan: the plan of this run.
        experiment: the sweep's experiment in MLflow; None to log nothing.
        changed: whether anything changed since the last report; otherwise an existing report is kept.
        console: for progress.

    Raises:
        StoppedError: the report cannot be written.
    """
    records.storage.clear_partial(f"{records.name}/")
    table = records.write_table(loaded.records)
    own = [record for record in loaded.records if plan.owns(record)]
    statuses = [record["status"] for record in own]
    completed, failed, diverged = map(statuses.count, columns.STATUSES)
    behind = sum(not record.get("mlflow_run_id") for record in loaded.records)
    outcome = Outcome(None, "", completed, failed, diverged, behind)

    def mirror(tags: dict[str, Any], folder: Path | None, numbers: Mapping[str, float | None] | None = None) -> None:
        if experiment is None:
            return
        tags = {**parent_run.design(loaded.records, plan), **tags}
        numbers = {"n_trials": len(loaded.records), **(numbers or {})}
        try:
            done, params = len(own) >= plan.planned, parent_run.declared(records)
            mirror_sweep(experiment, records, folder, tags, numbers, params, done)
        except MirrorError as error:
            say(console, f"{error}; the report is not in MLflow yet", "yellow")

    if (answer := plan.answer(own)) is not None:
        # Trials that a search chose are not a sample of their space, so correlations would be meaningless.
        if changed:
            mirror({"answer": "search", NOTE: answer}, None)
        return replace(outcome, answer=answer)
    try:
        with console.status("Analysing"):
            trials = trials_of_sweep(records, table, loaded.rejected)
            result = analysis.analyse(trials)
    except analysis.AnalysisError as error:
        # For example, every trial failed: there are records, but nothing to report.
        answer = f"No answer: {error}"
        if changed:
            mirror({"answer": "none", NOTE: answer}, None)
        return replace(outcome, answer=answer)

    local = isinstance(records.storage, FolderStorage)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(records.location if local else scratch) / "report"
        if changed or f"{records.name}/report/report.html" not in records.storage.names(f"{records.name}/report/"):
            _write_report(result, folder)
            if not local:
                copy_report(folder, records.storage, records.name)
            tags = {"answer": result.verdict.answer, NOTE: result.verdict.sentence, **parent_run.answers(result)}
            mirror(tags, folder, parent_run.numbers(result))
    return replace(
        outcome,
        report=f"{records.location}/report/report.html",
        answer=result.verdict.sentence,
        correlated=correlated(result),
        methods=methods_summary(result),
        more=more(result, plan),
    )


def _write_report(result: analysis.Analysis, folder: Path) -> None:
    try:
        analysis.write_report(result, folder)
    except analysis.AnalysisError as error:
        # Its own advice is for `python -m analysis`; that of the storage is for this command.
        raise StoppedError(
            f"{error.__cause__ or error}. The records are kept; repeat the command to write the report"
        ) from error
