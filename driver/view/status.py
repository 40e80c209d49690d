"""The status of a sweep: trials done, running and failed by reason, rate and last error."""

from collections import Counter
from typing import Any

from rich.console import Console

from analysis.numbers import count
from driver import UserError, user_errors
from driver.terminal import say
from driver.upkeep.lease import expired, read_lease
from driver.view.progress import clock
from records import SweepRecords


def show_status(console: Console, records: SweepRecords) -> None:
    """Print the progress of the sweep, from its records and its driver's lease.

    Raises:
        UserError: there is no such sweep.
    """
    with user_errors(ValueError):
        manifest = records.manifest()
    lease = read_lease(records.storage.read(f"{records.name}/lease.json"))
    if manifest is None:
        if lease is None or expired(lease):
            raise UserError(f"there is no sweep at {records.location}; check --name and --storage")
        # The manifest is written once Ray has started.
        say(console, f"Sweep {records.name} is being started by {lease['holder']}")
        return
    loaded = records.load()
    statuses = Counter(record["status"] for record in loaded.records)
    lines = [
        f"Sweep {records.name} in {records.storage.location}, space {manifest.get('space')}",
        f"{len(loaded.records)} of {count(manifest.get('planned_trials', 0), 'trial')} done: "
        + ", ".join(f"{statuses[status]} {status}" for status in ("completed", "failed", "diverged")),
        *_driver(lease),
    ]
    reasons = Counter(_reason(record) for record in loaded.records if record.get("error"))
    lines += [f"  {count} x {reason}" for reason, count in reasons.most_common(5)]
    last = max((r for r in loaded.records if r.get("error")), key=lambda r: r.get("started_at") or "", default=None)
    if last is not None:
        lines.append(f"Last error, trial {last['trial_key']} ({last['method']} on {last['dataset']}): {_reason(last)}")
    waiting = sum(not record.get("mlflow_run_id") for record in loaded.records)
    lines.append(f"{count(waiting, 'trial is', 'trials are')} not in MLflow yet" if waiting else "MLflow is up to date")
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


def _reason(record: dict[str, Any]) -> str:
    return str(record["error"]).splitlines()[0]
