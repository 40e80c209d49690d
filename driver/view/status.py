"""The status of a sweep: trials done, running and failed by reason, rate and last error."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from analysis.numbers import count
from driver import user_errors
from driver.terminal import say
from driver.upkeep.delete import no_sweep
from driver.upkeep.lease import expired, read_lease
from driver.upkeep.tracking import NONE, of_another
from driver.view.progress import clock
from records import SweepRecords
from records.mirror import Experiment, MirrorError
from records.secrets import scrub
from records.store import Record


def show_status(console: Console, records: SweepRecords, tracking_uri: str, experiment_id: str | None) -> None:
    """Print the progress of the sweep, from its records and its driver's lease.

    Args:
        console: where it goes.
        records: the sweep's.
        tracking_uri: as `check_tracking_uri` returns it.
        experiment_id: the sweep's in MLflow; None if MLflow does not have it, or cannot be reached.

    Raises:
        UserError: there is no such sweep.
    """
    with user_errors(ValueError):
        manifest = records.manifest()
    lease = read_lease(records.storage.read(f"{records.name}/lease.json"))
    if manifest is None:
        if lease is None or expired(lease):
            raise no_sweep(records)
        # The manifest is written once Ray has started.
        say(console, f"Sweep {records.name} is being started by {lease['holder']}")
        return
    loaded = records.load()
    statuses = Counter(record["status"] for record in loaded.records)
    lines = [
        f"Sweep {records.name} in {records.storage.location}, space {manifest.get('space')}",
        f"{len(loaded.records):,} of {count(manifest.get('planned_trials', 0), 'trial')} done: "
        + ", ".join(f"{statuses[status]} {status}" for status in ("completed", "failed", "diverged")),
        *_driver(lease),
    ]
    reasons = Counter(_reason(record) for record in loaded.records if record.get("error"))
    lines += [f"  {count} x {reason}" for reason, count in reasons.most_common(5)]
    last = max((r for r in loaded.records if r.get("error")), key=lambda r: r.get("started_at") or "", default=None)
    if last is not None:
        lines.append(f"Last error, trial {last['trial_key']} ({last['method']} on {last['dataset']}): {_reason(last)}")
    lines.append(_mirror(loaded.records, tracking_uri, experiment_id))
    lines += [f"Cannot read {path}: {reason}" for path, reason in loaded.rejected.items()]
    for line in lines:
        say(console, line)


def _driver(lease: dict[str, Any] | None) -> list[str]:
    if lease is None or expired(lease):
        return ["Not running. Repeat the command to resume"]
    lines = [f"Run by {lease['holder']}: {count(lease.get('running', 0), 'trial')} running"]
    if lease.get("trials_a_minute"):
        left = lease.get("seconds_left")
        time = f", about {clock(left)} left" if left is not None else ""
        lines.append(f"{lease['trials_a_minute']:.1f} trials a minute{time}")
    return lines


def _mirror(existing: Sequence[Record], tracking_uri: str, experiment_id: str | None) -> str:
    waiting = sum(not record.get("mlflow_run_id") for record in existing)
    if waiting:
        return f"{count(waiting, 'trial is', 'trials are')} not in MLflow yet"
    if existing and tracking_uri != NONE and not _is_mirrored(existing, tracking_uri, experiment_id):
        other = f"The trials were mirrored into another MLflow than {scrub(tracking_uri)}, or it cannot be reached"
        return f"{other}; --sync brings it up to date"
    return "MLflow is up to date"


def _is_mirrored(existing: Sequence[Record], tracking_uri: str, experiment_id: str | None) -> bool:
    try:
        return experiment_id is not None and not of_another(Experiment(tracking_uri, experiment_id, ""), existing)
    except MirrorError:
        return False


def _reason(record: dict[str, Any]) -> str:
    return str(record["error"]).splitlines()[0]
