"""The status of a sweep: trials done, running and failed by reason, rate and last error."""

from collections import Counter
from collections.abc import Mapping

from rich.console import Console

from analysis.numbers import count
from driver import user_errors
from driver.terminal import say
from driver.upkeep.delete import check_not_deleted, no_sweep
from driver.upkeep.lease import Holder, read_lease
from driver.upkeep.tracking import NONE, experiment_of
from driver.view.mlflow_ui import where
from driver.view.progress import clock
from records import Manifest, StorageError, SweepRecords, columns, open_storage
from records.mirror import Experiment, MirrorError, has_run
from records.secrets import scrub
from records.store import Record


@user_errors(StorageError)
def show_status(console: Console, storage: str, sweep: str, tracking_uri: str, storage_option: str) -> None:
    """Print the progress of a sweep, from its records and its driver's lease, and where its results are.

    Needs neither the data nor permission to write, and neither torch nor Ray, which take seconds to load. Commands in
    it end with `storage_option`. Raises UserError if there is no such sweep.
    """
    records = SweepRecords(open_storage(storage), sweep)
    check_not_deleted(records)
    with user_errors(ValueError):
        manifest = records.manifest()
    lease = read_lease(records)
    if manifest is None:
        if lease is None:
            raise no_sweep(records)
        # The manifest is written once Ray has started.
        holder = lease.holder
        stopped = f"was started by {holder} and has no finished trial yet. Repeat the command to start it"
        say(console, f"Sweep {records.name} {stopped if lease.expired else f'is being started by {holder}'}")
        return
    # Of each record only what is counted, as all of them may take more memory than there is.
    statuses, reasons = Counter[str](), Counter[str]()
    rejected: dict[str, str] = {}
    last: Record | None = None
    oldest: Record | None = None
    behind = 0
    for record in records.each(rejected):
        statuses[record["status"]] += 1
        if record.get("error"):
            reasons[_reason(record)] += 1
            last = max(last or record, record, key=_started)
        if record.get("mlflow_run_id"):
            oldest = min(oldest or record, record, key=_started)
        else:
            behind += 1
    done, planned = statuses.total(), manifest.planned_trials or 0
    lines = [
        f"Sweep {records.name} in {records.storage.location}, space {manifest.space}",
        f"{done:,} of {count(planned, 'trial')} done: "
        + ", ".join(f"{statuses[status]} {status}" for status in columns.STATUSES),
    ]
    if lease is not None and not lease.expired:
        lines += _running(lease)
    else:
        lines.append(_how_to_continue(manifest, done, statuses["failed"], planned, storage_option))
    lines += [f"  {number} x {reason}" for reason, number in reasons.most_common(5)]
    if last is not None:
        trial = f"{last['trial_key']} ({last['method']} on {last['dataset']})"
        lines.append(f"Last error, trial {trial}: {_reason(last)}")
    experiment_id = experiment_of(tracking_uri, records.name)
    mirrored = experiment_id is not None and _is_mirrored(oldest, Experiment(tracking_uri, experiment_id, ""))
    if behind:
        lines.append(f"{count(behind, 'trial is', 'trials are')} not in MLflow yet")
    elif done and tracking_uri != NONE and not mirrored:
        other = f"The trials were mirrored into another MLflow than {scrub(tracking_uri)}, or it cannot be reached"
        lines.append(f"{other}; --tracking-uri names theirs, --sync brings this one up to date")
    elif done:
        lines.append("MLflow is up to date")
    lines += filter(None, [unreadable_note(rejected)])
    for line in lines:
        say(console, line)
    report = f"{records.name}/report/report.html"
    if report in records.storage.names(f"{records.name}/report/"):
        say(console, "Report     ", place=f"{records.storage.location}/{report}")
    elif done and manifest.search is None:
        say(console, "A report on these trials: ", place=f"python -m analysis --sweep {records.name}{storage_option}")
    # A link into an MLflow without these trials would lead nowhere.
    if mirrored or (tracking_uri == NONE and behind):
        say(console, f"MLflow UI  {where(tracking_uri, experiment_id)}")


def _running(lease: Holder) -> list[str]:
    lines = [f"Run by {lease.holder}: {count(lease.running, 'trial')} running {lease.seen}"]
    if lease.trials_a_minute:
        time_left = f", about {clock(lease.seconds_left)} left" if lease.seconds_left is not None else ""
        lines.append(f"{lease.trials_a_minute:.1f} trials a minute{time_left}")
    if lease.skewed:
        lines.append(f"Its clock is {lease.skewed}")
    return lines


def _how_to_continue(manifest: Manifest, done: int, failed: int, planned: int, storage_option: str) -> str:
    whole, cut = manifest.latest_command()
    command = f": {manifest.commands[-1]}{storage_option}" if whole else ""
    if not done:
        return f"Planned, and not running; no trial has finished yet. Repeat the command to start{command}"
    if manifest.looks is not None and manifest.looks.end is not None and done >= planned and not failed:
        return f"Finished at {manifest.looks}"
    if done < planned:
        return f"Not running. Repeat the command to resume{command}"
    if failed:
        return f"Finished. Repeat the command to try the failed trials again{command}"
    if cut:
        return f"Finished up to --max-trials. The other trials of the plan: {whole}{storage_option}"
    return "Finished"


def unreadable_note(rejected: Mapping[str, str]) -> str | None:
    """Which files cannot be read as records; None if all can."""
    if not rejected:
        return None
    reasons = "; ".join(f"{path}: {reason}" for path, reason in rejected.items())
    files = count(len(rejected), "file is not a readable record", "files are not readable records")
    return f"{files} ({reasons}). A run moves them to set_aside/ and repeats their trials"


def _reason(record: Record) -> str:
    return str(record["error"]).splitlines()[0]


def _started(record: Record) -> str:
    return record.get("started_at") or ""


def _is_mirrored(oldest: Record | None, experiment: Experiment) -> bool:
    """Whether the experiment has the run that the oldest record with one names."""
    try:
        return oldest is None or has_run(experiment, oldest)
    except MirrorError:
        return False
