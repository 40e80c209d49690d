"""The story of a sweep: plan, lease, run, mirror, finish."""

import os
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from itertools import chain

from rich.console import Console

from analysis.numbers import count, listed
from driver import StoppedError, user_errors
from driver.plan.blocks import expected_note, looks_note, until_answered
from driver.plan.make_plan import check_data, make_plan
from driver.plan.memory import memory_notes
from driver.plan.notes import declared_note, others_note, seeds_note
from driver.plan.plan import Plan, declare, declared_plan, declared_space, open_records
from driver.plan.study import load_best_settings
from driver.ray.cluster import IN_RAY_JOB, check_shared, connect, local_slots
from driver.ray.run import remove_scratch, run_trials
from driver.ray.start import watched
from driver.request import Request
from driver.terminal import say
from driver.until_answered import run_blocks
from driver.upkeep.delete import check_not_deleted, no_sweep
from driver.upkeep.finish import Outcome, finish, report_is_outdated
from driver.upkeep.lease import RENEW_EVERY, SECONDS, Lease
from driver.upkeep.mirror import AT_END, Mirror
from driver.upkeep.stop import Stop
from driver.upkeep.tracking import NONE, check_tracking, experiment_of, open_tracking
from driver.upkeep.weights import BestWeights, weights_note
from driver.view.dry_run import show_plan
from driver.view.log import SweepLog
from driver.view.mlflow_ui import where
from driver.view.progress import Progress
from driver.view.status import unreadable_note
from records import Manifest, StorageError, SweepRecords, columns
from records.mirror_names import telling_apart
from records.store import LoadedRecords, Record
from trainables import Recorder

REPORT_SECONDS = 1.0
"""Minimum time between two results of a running trial, which waits for the driver each time."""
MIRROR_REST = 4.0
"""Seconds that the mirror rests after each second of work while trials run on this machine."""
MLFLOW_PATIENCE = 300.0
"""Seconds that the end of a Ray job waits for an unreachable MLflow: on Kubernetes a server may be restarting."""


@user_errors(StorageError)
def run_sweep(request: Request, console: Console) -> Outcome | None:
    """Carry out a command; return None for --dry-run.

    A KeyboardInterrupt after a signal says how many trials are done and how to go on.
    """
    # Plan: nothing is written yet.
    records = open_records(request.storage, request.sweep, request.fresh)
    check_not_deleted(records)
    plan = _plan(request, records, console)
    if not request.sync:
        _note(console, *check_data(plan))
    if request.dry_run:
        existing = (loaded := _load(records, console)).records
        slots = local_slots(request.concurrency, request.resources)
        pending = plan.pending(existing)
        memory = memory_notes(pending, slots if request.address == "local" else None, request.resources.gpus > 0)
        show_plan(console, records.location, plan, pending, slots, memory)
        without_weights = weights_note(request.keep_weights, records, plan, existing)
        _note(console, seeds_note(plan), looks_note(plan), expected_note(plan))
        _note(console, others_note(plan, existing), without_weights, unreadable_note(loaded.rejected))
        return None
    with console.status("Opening MLflow"):
        check_tracking(request.tracking, records.name, records.storage)

    # Lease: from here on the sweep belongs to this driver.
    progress = Progress(console, plan.planned)
    # Kubernetes restarts a Ray job whose cluster was lost; the job then meets its own lease.
    patience = SECONDS + RENEW_EVERY if IN_RAY_JOB in os.environ else 0.0
    with (
        Stop(progress.announce_stop) as stop,
        Lease(records, progress.facts, stop.give_up, patience) as lease,
        ExitStack() as local_ray,
    ):
        for note in lease.notes:
            say(console, note, "yellow")
        records = lease.fence()
        remove_scratch(records.storage.location, records.name)
        loaded = _load(records, console)
        progress.already_done = plan.planned if request.sync else plan.planned - len(plan.pending(loaded.records))
        log = SweepLog(records)
        try:
            outcome = _run_and_finish(request, plan, records, loaded, progress, log, stop, lease, local_ray)
            log.event("end", answer=outcome.answer)
        except KeyboardInterrupt:
            again = f"Repeat the command{f' with --name {records.name} in place of --fresh' if request.fresh else ''}"
            done = f"{progress.done} of {count(progress.total, 'trial')} done"
            if stop.problem is not None:
                raise StoppedError(f"{stop.problem}. Nothing is lost: {done}. {again} to go on") from None
            raise KeyboardInterrupt(f"{done}. {again} to go on.") from None
        finally:
            if log.lines:
                log.event("stop", **progress.facts())
                log.flush()
    link = where(request.tracking, experiment_of(request.tracking, records.name))
    _show(outcome, progress, link, console)
    if outcome.not_mirrored and request.tracking != NONE:
        message = f"MLflow lacks {count(outcome.not_mirrored, 'trial')}. Nothing is lost: this brings it up to date:\n"
        say(console, message, place=request.sync_command(records.name))
    return outcome


def _load(records: SweepRecords, console: Console) -> LoadedRecords:
    with console.status("Reading the records"):
        return records.load()


def _plan(request: Request, records: SweepRecords, console: Console) -> Plan:
    """The plan, with the primary and comparisons that the sweep declared first; prints a note if they differ."""
    manifest = records.manifest()
    if request.sync:
        # Without a manifest only the records describe the sweep.
        declared = manifest or Manifest()
        planned = declared.planned_trials or len(records.done())
        if manifest is None and not planned:
            raise no_sweep(records)
        return declared_plan(replace(declared, planned_trials=planned))
    best_settings = None
    if request.from_sweep is not None:
        best_settings = load_best_settings(SweepRecords(records.storage, request.from_sweep))
    # Files are hashed and decoded when they are first used, with a progress bar, which a spinner would overwrite.
    if console.is_terminal:
        say(console, "Reading the data")
    plan = make_plan(request.space, request.dataset, request.overrides, request.max_trials, best_settings)
    if manifest is not None:
        _note(console, declared_note(plan, manifest))
        plan = replace(plan, space=declared_space(plan.space, manifest))
    return plan if request.until is None else until_answered(plan, manifest)


def _run_and_finish(
    request: Request,
    plan: Plan,
    records: SweepRecords,
    loaded: LoadedRecords,
    progress: Progress,
    log: SweepLog,
    stop: Stop,
    lease: Lease,
    local_ray: ExitStack,
) -> Outcome:
    console = progress.console
    pending = [] if request.sync else plan.pending(loaded.records)
    # All trials may be done and the last look not taken, if a command was killed in between.
    is_open = plan.looks is not None and plan.looks.end is None
    say(console, f"Sweep {records.name}: {count(plan.planned, 'trial')}, {len(pending):,} to run")
    without_weights = weights_note(request.keep_weights, records, plan, loaded.records)
    seeds = seeds_note(plan) if plan.replicate and plan.planned % plan.replicate else None
    _note(console, seeds, looks_note(plan), others_note(plan, loaded.records), without_weights)
    others, command = len(plan.others(loaded.records)), request.command(records.name, plan.cut)
    try:
        with console.status("Starting Ray"):
            slots = connect(request.address, request.concurrency, request.resources, console) if pending else 0
            if pending and request.address != "local":
                check_shared(records, request.resources, console)
    except KeyboardInterrupt:
        # A new sweep keeps its plan, which --status shows. After an error nothing is kept.
        if pending and records.manifest() is None:
            declare(records, plan, command, others, request.keep_weights)
        raise
    if pending and request.address == "local":
        local_ray.enter_context(watched(stop.end_at_once))
    changed = not request.sync and declare(records, plan, command, others, request.keep_weights)
    for path, reason in records.set_aside(loaded.rejected).items():
        say(console, f"set aside {path}: {reason}", "yellow")
    log.event("start", space=plan.space.name, planned=plan.planned, pending=len(pending), slots=slots)
    mirror = None
    if request.tracking != NONE:
        with console.status("Opening MLflow"):
            mirror = _mirror(request, plan, records, loaded.records, console, lease)
    stop.check()

    followers: list[Callable[[str], object]] = [] if mirror is None else [mirror.add]
    if request.keep_weights == "best" and not request.sync:
        followers.insert(0, BestWeights(records, loaded.records).add)

    with mirror or nullcontext():
        # Run: each trial writes its record, and the mirror follows.
        if pending or is_open:
            if plan.searcher is None:
                say(console, "A report on the trials so far, at any time: ", place=request.report_command(records.name))
            recorder = Recorder(
                storage=records.storage.location,
                sweep=records.name,
                searcher=plan.searcher,
                keep_weights=request.keep_weights,
                report_seconds=REPORT_SECONDS,
                # A search reads the records of the trials that have ended.
                in_background=plan.searcher is None,
            )
            run = partial(
                run_trials,
                recorder=recorder,
                slots=slots,
                resources=request.resources,
                progress=progress,
                log=log,
                stop=stop,
                followers=followers,
            )
            queue = plan.queue(records, loaded.records, slots)
            del loaded  # Outdated from here on, and large in a large sweep.
            # Until a trial runs there is nothing to wait for.
            with progress, stop.gently(lambda: progress.running > 0):
                if is_open:
                    plan = run_blocks(plan, records, run, progress, log, stop)
                else:
                    run(queue)
            # The end needs no Ray, so it cannot lose it.
            local_ray.close()
            stop.check()
            loaded = records.load()

        # Mirror and finish: MLflow, the table and the analysis all use the records as just read.
        behind = False
        if mirror is not None:
            behind = mirror.finish(loaded.records, MLFLOW_PATIENCE if IN_RAY_JOB in os.environ else AT_END)
            # The sweep may have been lost meanwhile.
            stop.check()
            if request.keep_weights == "best" or request.sync:
                # The best trials are known only now.
                mirror.add_weights()
    changed |= bool(pending) or is_open or request.sync or behind or report_is_outdated(records)
    if changed:
        # If this is interrupted, the next run finds no report and writes it.
        records.storage.delete(f"{records.name}/report/report.html")
    experiment = None if mirror is None else mirror.experiment
    return finish(records, plan, loaded=loaded, experiment=experiment, changed=changed, console=console)


def _mirror(
    request: Request, plan: Plan, records: SweepRecords, existing: list[Record], console: Console, lease: Lease
) -> Mirror:
    primary = plan.space.primary
    trials = chain((config.columns() for config in plan.trials.values()), existing)
    open_ = partial(
        open_tracking,
        request.tracking,
        records.name,
        scores=(primary.outcome, primary.column, columns.performance("test_id", "auc")),
        named_by=telling_apart(trials, map(columns.setting, plan.tuned())),
        check=lease.check,
        storage=records.storage,
    )
    weights, rest = request.keep_weights == "all", MIRROR_REST if request.address == "local" else 0.0
    return Mirror(open_, records, existing, console, weights=weights, rest=rest, took_over=lease.took_over)


def _note(console: Console, *notes: str | None) -> None:
    for note in filter(None, notes):
        say(console, note)


def _show(outcome: Outcome, progress: Progress, link: str, console: Console) -> None:
    for part in (outcome.decision, outcome.correlated or outcome.answer, outcome.methods):
        if isinstance(part, str):
            say(console, f"\n{part}", "bold")
        elif part is not None:
            console.print("", part)
    say(console, "")
    if outcome.more:
        say(console, f"{outcome.more}\n")
    if outcome.report:
        say(console, "Report     ", place=outcome.report)
    say(console, f"MLflow UI  {link}")
    bad = {"failed": outcome.failed, "diverged": outcome.diverged}
    parts = [f"{count(number, 'trial')} {status}" for status, number in bad.items() if number]
    if parts:
        say(console, f"{listed(parts)}; see their records for the reasons.", "yellow")
    for reason in progress.gave_up:
        say(console, reason, "yellow")
