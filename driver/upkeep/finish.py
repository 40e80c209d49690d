"""The end of a sweep: the table, the analysis, the report in storage and in MLflow, the answer and its summary."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console, Group

import analysis
from analysis.report.last_screen import correlated, what_to_do
from analysis.report.report import copy_report
from analysis.trials.load import trials_of_sweep
from driver import StoppedError
from driver.plan.plan import Plan
from driver.terminal import say
from driver.upkeep import summary
from records import StorageError, SweepRecords, columns
from records.mirror import Experiment, MirrorError, mirror_sweep
from records.store import LoadedRecords

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as a run's description."""


@dataclass(frozen=True)
class Outcome:
    """The result of a sweep: the location of its report, numbers of the plan's trials, and what is printed last."""

    report: str | None
    answer: str
    completed: int
    failed: int
    diverged: int
    not_mirrored: int = 0
    """Number of the sweep's trials that are missing from MLflow."""
    decision: Group | None = None
    correlated: Group | None = None
    methods: Group | None = None
    more: str | None = None


def report_is_outdated(records: SweepRecords) -> bool:
    """Whether a record is newer than the report, e.g. if a command was killed after its last trial."""
    report = records.storage.files(f"{records.name}/report/").get(f"{records.name}/report/report.html")
    newest = [file.modified for file in records.storage.files(f"{records.name}/records/").values()]
    return report is not None and bool(newest) and max(newest) > report.modified


def finish(
    records: SweepRecords,
    plan: Plan,
    *,
    loaded: LoadedRecords,
    experiment: Experiment | None,
    changed: bool,
    console: Console,
) -> Outcome:
    """Write the table and the report on all records, log them to MLflow, and return the answer.

    Without an experiment in MLflow nothing is logged. Unless something `changed`, an existing report is kept. Raises
    StoppedError if the report cannot be written.
    """
    records.storage.clear_partial(f"{records.name}/")
    table = records.write_table(loaded.records)
    plan_records = [record for record in loaded.records if plan.owns(record)]
    statuses = [record["status"] for record in plan_records]
    completed, failed, diverged = map(statuses.count, columns.STATUSES)
    behind = sum(not record.get("mlflow_run_id") for record in loaded.records)
    outcome = Outcome(None, "", completed, failed, diverged, behind)

    def mirror(tags: dict[str, Any], folder: Path | None, numbers: Mapping[str, float | None] | None = None) -> None:
        if experiment is None or not changed:
            return
        try:
            mirror_sweep(
                experiment,
                records,
                folder,
                tags={**summary.design(loaded.records, plan), **tags},
                metrics={"n_trials": len(loaded.records), **(numbers or {})},
                params=summary.declared(records),
                done=len(plan_records) >= plan.planned,
            )
        except MirrorError as error:
            say(console, f"{error}; the report is not in MLflow yet", "yellow")

    if (answer := plan.answer(plan_records)) is not None:
        # Trials that a search chose are not a sample of their space, so correlations would be meaningless.
        mirror({"answer": "search", NOTE: answer}, None)
        return replace(outcome, answer=answer)
    try:
        with console.status("Analysing"):
            result = analysis.analyse(trials_of_sweep(records, table, loaded.rejected))
    except analysis.AnalysisError as error:
        # For example, every trial failed: there are records, but nothing to report.
        answer = f"No answer: {error}"
        mirror({"answer": "none", NOTE: answer}, None)
        return replace(outcome, answer=answer)

    report = f"{records.name}/report/report.html"
    changed = changed or report not in records.storage.names(f"{records.name}/report/")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "report"
        if changed:
            try:
                analysis.write_report(result, folder)
                copy_report(folder, records.storage, records.name)
            except (analysis.AnalysisError, StorageError) as error:
                # Its advice is for `python -m analysis`; the storage's error is for this command.
                kept = "The records are kept; repeat the command to write the report"
                reason = error if isinstance(error, StorageError) else error.__cause__ or error
                raise StoppedError(f"{reason}. {kept}") from error
            tags = {"answer": result.verdict.answer, NOTE: result.verdict.sentence, **summary.answers(result)}
            mirror(tags, folder, summary.numbers(result))
    return replace(
        outcome,
        report=f"{records.storage.location}/{report}",
        answer=result.verdict.sentence,
        decision=what_to_do(result),
        correlated=correlated(result),
        methods=summary.methods_summary(result),
        more=summary.more(plan),
    )
