"""The story of a sweep: plan, lease, run, mirror, finish."""

import os
import shutil

from rich.console import Console

from driver import user_errors
from driver.plan.best_settings import load_best_settings
from driver.plan.make_plan import check_data, make_plan
from driver.plan.notes import ends_inside_a_seed, others_note, seeds_note
from driver.plan.plan import Plan, declare, open_records
from driver.ray.cluster import IN_RAY_JOB, check_shared, connect
from driver.ray.run import run_trials, scratch_folder
from driver.request import Request
from driver.upkeep.finish import Outcome, finish
from driver.upkeep.lease import RENEW_EVERY, SECONDS, Lease
from driver.upkeep.stop import Stop
from driver.upkeep.tracking import catch_up, open_tracking, ui_command
from driver.view.dry_run import show_plan
from driver.view.log import SweepLog
from driver.view.progress import Progress
from driver.view.status import show_status
from records import StorageError
from trainables import Recorder


@user_errors(StorageError)
def run_sweep(request: Request, console: Console) -> Outcome | None:
    """Do what the command line asks for; None where that is only the status or a dry run.

    Raises:
        UserError: the request cannot be carried out, or a problem stopped the sweep.
        KeyboardInterrupt: after a signal.
    """
    # Plan: nothing is written yet.
    plan = _plan(request, console)
    records = open_records(request.storage, request.sweep, request.fresh)
    if request.status:
        show_status(console, records)
        return None
    if not request.sync:
        with console.status("Reading the data"):
            check_data(plan)
    if request.dry_run:
        existing = records.load().records
        show_plan(console, records.location, plan, plan.pending(existing), request.concurrency)
        _note(console, seeds_note(plan), others_note(plan, existing))
        return None

    # Lease: from here on the sweep belongs to this driver. Only now is it known which trials are done.
    progress = Progress(console, plan.planned)
    # Kubernetes restarts a Ray job whose cluster was lost; the job then finds its own lease.
    patience = SECONDS + RENEW_EVERY if IN_RAY_JOB in os.environ else 0.0
    with Stop() as stop, Lease(records, progress.facts, stop.give_up, patience):
        # A killed driver leaves its scratch folder.
        shutil.rmtree(scratch_folder(records.storage.location, records.name), ignore_errors=True)
        loaded = records.load()
        pending = [] if request.sync else plan.pending(loaded.records)
        progress.skip(plan.planned - len(pending))
        slots = connect(request.address, request.concurrency, request.resources, console) if pending else 0
        if pending and not request.local:
            check_shared(records)
        changed = declare(records, plan, len(plan.others(loaded.records)))
        for path, reason in records.set_aside(loaded.rejected).items():
            console.print(f"set aside {path}: {reason}", style="yellow", markup=False, soft_wrap=True)
        log = SweepLog(records)
        console.print(f"Sweep {records.name}: {plan.planned} trials, {len(pending)} to run")
        _note(console, seeds_note(plan) if ends_inside_a_seed(plan) else None, others_note(plan, loaded.records))
        log.event("start", space=plan.space.name, planned=plan.planned, pending=len(pending), slots=slots)
        experiment = open_tracking(request.tracking, records.name, console)
        try:
            # Run: each trial writes its record, and mirrors it where its node can reach MLflow.
            if pending:
                mirror = experiment if request.local or not request.tracking.startswith("sqlite:") else None
                recorder = Recorder(records.storage.location, records.name, mirror, searcher=plan.searcher)
                queue = plan.queue(records, loaded.records, slots)
                del loaded  # Stale, and large in a large sweep.
                with progress:
                    run_trials(queue, recorder, slots, request.resources, progress, log, stop)
                stop.check()
                loaded = records.load()
            stop.check()

            # Mirror and finish: MLflow, the table and the analysis all use the records as just read.
            behind = experiment is not None and catch_up(records, loaded.records, experiment, console)
            changed |= bool(pending) or request.sync or behind
            outcome = finish(records, loaded, plan, experiment, changed, console)
            log.event("end", answer=outcome.answer)
        finally:
            log.event("stop", **progress.facts())
            log.flush()

    _show(outcome, request.tracking, console)
    return outcome


def _plan(request: Request, console: Console) -> Plan:
    best_settings = None
    if request.from_sweep is not None:
        best_settings = load_best_settings(open_records(request.storage, request.from_sweep, fresh=False))
    # Files are hashed and decoded when they are first met.
    with console.status("Reading the data"):
        return make_plan(request.space, request.dataset, request.overrides, request.max_trials, best_settings)


def _note(console: Console, *notes: str | None) -> None:
    for note in filter(None, notes):
        console.print(note, markup=False, soft_wrap=True)


def _show(outcome: Outcome, tracking: str, console: Console) -> None:
    console.print(f"\n{outcome.answer}\n", style="bold", soft_wrap=True)
    if outcome.methods is not None:
        console.print(outcome.methods, "", sep="\n")
    if outcome.more:
        console.print(f"{outcome.more}\n", soft_wrap=True, markup=False)
    if outcome.report:
        console.print(f"Report     {outcome.report}", soft_wrap=True)
    console.print(f"MLflow UI  {ui_command(tracking)}", soft_wrap=True)
    if outcome.failed or outcome.diverged:
        console.print(
            f"{outcome.failed} trials failed and {outcome.diverged} diverged; see their records for the reasons.",
            style="yellow",
        )
