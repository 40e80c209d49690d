"""After the trials: the table, MLflow brought up to date, the analysis, and the answer."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from driver.plan.plan import Plan
from records import SweepRecords, columns
from records.mirror import (
    Experiment,
    MirrorError,
    mirror_sweep,
    mirror_trial,
    mirrored_runs,
    sweep_is_mirrored,
    unmirrored,
)
from records.storage import FolderStorage
from records.store import Record

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as a run's description."""
MANY = 1000
"""Trials to be mirrored for which it is quicker to read all runs once than to look for that of each."""


@dataclass(frozen=True)
class Outcome:
    """What a sweep came to."""

    report: str | None
    """Where the report is; None where no trial completed."""
    answer: str
    completed: int
    failed: int
    diverged: int


def catch_up(records: SweepRecords, experiment: Experiment, console: Console) -> bool:
    """Mirror every record that has no MLflow run yet; whether MLflow was behind. Warns where it is away."""
    missing = unmirrored(records.load().records)
    try:
        if not missing:
            return not sweep_is_mirrored(experiment)
        runs = mirrored_runs(experiment) if len(missing) >= MANY else None
        for record in track(missing, "Bringing MLflow up to date", console=console, transient=True):
            mirror_trial(experiment, records, record, runs)
    except MirrorError as error:
        console.print(f"{error}; the next run or --sync brings MLflow up to date", style="yellow", soft_wrap=True)
    return True


def finish(
    records: SweepRecords, plan: Plan, experiment: Experiment | None, changed: bool, console: Console
) -> Outcome:
    """Write the table and the report, mirror both, and say what came out.

    Args:
        records: of the sweep.
        plan: of this run; the report is on all records of the sweep, planned now or before.
        experiment: where to mirror; None leaves it.
        changed: whether anything was trained since the last report; if not and a report is there, it stands.
        console: for progress.
    """
    import analysis
    from analysis.report.report import copy_report

    records.storage.clear_partial(f"{records.name}/")
    loaded = records.load()
    records.write_table(loaded.records)
    own = [record for record in loaded.records if plan.owns(record)]
    statuses = [record["status"] for record in own]
    counts = {status: statuses.count(status) for status in columns.STATUSES}
    if (answer := plan.answer(own)) is not None:
        # Trials that a search chose are no sample of their space: there is nothing to correlate.
        if experiment is not None and changed:
            _mirror_parent(records, plan, own, experiment, {"answer": "search", NOTE: answer}, None, console)
        return Outcome(None, answer, **counts)
    try:
        with console.status("Analysing"):
            result = analysis.analyse(analysis.load_sweep(records.storage.location, records.name))
    except analysis.AnalysisError as error:
        # Every trial failed, say: there are records, and nothing to report on.
        return Outcome(None, f"No answer: {error}", **counts)

    local = isinstance(records.storage, FolderStorage)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(records.location) / "report" if local else Path(scratch) / "report"
        if changed or not (folder / "report.html").exists():
            analysis.write_report(result, folder)
            if not local:
                copy_report(folder, records.storage, records.name)
            if experiment is not None:
                verdict = {"answer": result.verdict.answer, NOTE: result.verdict.sentence}
                _mirror_parent(records, plan, own, experiment, verdict, folder, console)

    return Outcome(f"{records.location}/report/report.html", result.verdict.sentence, **counts)


def _mirror_parent(
    records: SweepRecords,
    plan: Plan,
    own: list[Record],
    experiment: Experiment,
    verdict: dict[str, str],
    folder: Path | None,
    console: Console,
) -> None:
    tags = {"space": plan.space.name, "planned_trials": plan.planned + plan.others(records), **verdict}
    try:
        mirror_sweep(experiment, folder, tags, {"n_trials": len(records.done())}, len(own) >= plan.planned)
    except MirrorError as error:
        console.print(f"{error}; the report is not in MLflow yet", style="yellow", soft_wrap=True)
