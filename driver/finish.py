"""After the trials: the table, MLflow brought up to date, the analysis, and the answer."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from records import SweepRecords
from records.mirror import Experiment, MirrorError, mirror_sweep, mirror_trial, unmirrored
from records.storage import FolderStorage


@dataclass(frozen=True)
class Outcome:
    """What a sweep came to."""

    report: str
    """Where the report is."""
    answer: str
    completed: int
    failed: int
    diverged: int


def catch_up(records: SweepRecords, experiment: Experiment, console: Console) -> str | None:
    """Mirror every record that has no MLflow run yet; what kept it from being done, or None."""
    missing = unmirrored(records.load().records)
    if not missing:
        return None
    try:
        for record in track(missing, "Bringing MLflow up to date", console=console, transient=True):
            mirror_trial(experiment, records, record)
    except MirrorError as error:
        return str(error)
    return None


def finish(
    records: SweepRecords, planned: set[str], experiment: Experiment | None, changed: bool, console: Console
) -> Outcome:
    """Write the table and the report, mirror both, and say what came out.

    Args:
        records: of the sweep.
        planned: trial keys of the sweep's plan; the report is on all records of the sweep, planned now or before.
        experiment: where to mirror; None leaves it.
        changed: whether anything was trained since the last report; if not and a report is there, it stands.
        console: for progress.
    """
    import analysis

    loaded = records.load()
    for path, reason in loaded.rejected.items():
        console.print(f"[yellow]set aside {path}: {reason}[/yellow]")
    records.write_table(loaded.records)
    trials = analysis.load_sweep(records.storage.location, records.name)
    result = analysis.analyse(trials)

    local = isinstance(records.storage, FolderStorage)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(records.location) / "report" if local else Path(scratch) / "report"
        if changed or not (folder / "report.html").exists():
            analysis.write_report(result, folder)
            if not local:
                for file in sorted(folder.rglob("*")):
                    if file.is_file():
                        name = f"{records.name}/report/{file.relative_to(folder).as_posix()}"
                        records.storage.write(name, file.read_bytes())
            if experiment is not None:
                _mirror_parent(records, planned, experiment, result, folder, console)

    statuses = [record["status"] for record in loaded.records if record["trial_key"] in planned]
    return Outcome(
        report=f"{records.location}/report/report.html",
        answer=result.verdict.sentence,
        completed=statuses.count("completed"),
        failed=statuses.count("failed"),
        diverged=statuses.count("diverged"),
    )


def _mirror_parent(
    records: SweepRecords,
    planned: set[str],
    experiment: Experiment,
    result: object,
    folder: Path,
    console: Console,
) -> None:
    manifest = records.manifest() or {}
    verdict = result.verdict  # type: ignore[attr-defined]
    tags = {"space": manifest.get("space"), "planned_trials": len(planned), "answer": verdict.answer}
    tags["mlflow.note.content"] = verdict.sentence
    done = planned <= records.done()
    try:
        mirror_sweep(experiment, folder, tags, {"n_trials": len(records.done())}, done)
    except MirrorError as error:
        console.print(f"[yellow]{error}; the report is not in MLflow yet, the next run brings it there[/yellow]")
