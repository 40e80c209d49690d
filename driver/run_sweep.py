"""The story of a sweep: plan, lease, run, mirror, finish."""

import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import chain

from rich.console import Console

from analysis.numbers import count, listed
from driver import user_errors
from driver.plan.best_settings import load_best_settings
from driver.plan.declared import declared_plan, declared_space
from driver.plan.make_plan import check_data, make_plan
from driver.plan.notes import declared_note, ends_inside_a_seed, others_note, seeds_note, unreadable_note
from driver.plan.plan import Plan, declare, open_records
from driver.ray.cluster import IN_RAY_JOB, check_shared, connect, local_slots
from driver.ray.run import run_trials, scratch_folder
from driver.request import Request
from driver.terminal import say
from driver.upkeep.delete import check_not_deleted, no_sweep
from driver.upkeep.finish import Outcome, finish, report_is_outdated
from driver.upkeep.lease import RENEW_EVERY, SECONDS, Lease
from driver.upkeep.mirror import AT_END, Mirror
from driver.upkeep.stop import Stop
from driver.upkeep.tracking import NONE, experiment_of, open_tracking
from driver.upkeep.weights import BestWeights, weights_note
from driver.view.dry_run import show_plan
from driver.view.log import SweepLog
from driver.view.mlflow_ui import where
from driver.view.progress import Progress
from driver.view.status import show_status
from records import Manifest, StorageError, SweepRecords, columns, open_storage
from records.mirror_names import telling_apart
from records.secrets import scrub
from records.storage import default_location
from records.store import Record
from trainables import Recorder

REPORT_SECONDS = 1.0
"""Least time between two results of a running trial: each costs the driver time, and the trial waits for it."""
MIRROR_REST = 4.0
"""Seconds that the mirror rests after each second of work while trials run on this machine."""
MLFLOW_PATIENCE = 300.0
"""Seconds for which the end of a Ray job waits for an unreachable MLflow: on Kubernetes a server may be restarting."""


@user_errors(StorageError)
def run_sweep(request: Request, console: Console) -> Outcome | None:
    """Do what the command line asks for; None where that is only the status or a dry run.

    Raises:
        UserError: the request cannot be carried out, or a problem stopped the sweep.
        KeyboardInterrupt: after a signal; its message says how far the sweep is and how to go on, if that is known.
    """
    if request.status:
        _status(request, console)
        return None

    # Plan: nothing is written yet.
    records = open_records(request.storage, request.sweep, request.fresh)
    check_not_deleted(records)
    plan = _plan(request, records, console)
    if not request.sync:
        with console.status("Reading the data"):
            of_data = check_data(plan)
        _note(console, *of_data)
    if request.dry_run:
        with console.status("Reading the records"):
            loaded = records.load()
        existing = loaded.records
        slots = local_slots(request.concurrency, request.resources)
        show_plan(console, records.location, plan, plan.pending(existing), slots)
        kept = weights_note(request.keep_weights, records, plan, existing)
        _note(console, seeds_note(plan), others_note(plan, existing), kept, unreadable_note(loaded.rejected))
        return None

    # Lease: from here on the sweep belongs to this driver.
    progress = Progress(console, plan.planned)
    # Kubernetes restarts a Ray job whose cluster was lost; the job then finds its own lease.
    patience = SECONDS + RENEW_EVERY if IN_RAY_JOB in os.environ else 0.0
    with Stop(progress.announce_stop) as stop, Lease(records, progress.facts, stop.give_up, patience):
        log = SweepLog(records)
        try:
            outcome = _run_and_finish(request, plan, records, progress, log, stop, console)
            log.event("end", answer=outcome.answer)
        finally:
            if log.lines:
                log.event("stop", **progress.facts())
                log.flush()
    link = where(request.tracking, experiment_of(request.tracking, records.name))
    _show(outcome, progress, link, console)
    if outcome.not_mirrored and request.tracking != NONE:
        trials = count(outcome.not_mirrored, "trial")
        message = f"MLflow lacks {trials}. Nothing is lost: this brings it up to date:\n"
        say(console, message, place=_sync_command(request, records.name))
    return outcome


def _status(request: Request, console: Console) -> None:
    """Print how far the sweep is; needs neither the data nor permission to write."""
    records = SweepRecords(open_storage(request.storage), request.sweep)
    check_not_deleted(records)
    experiment_id = experiment_of(request.tracking, records.name)
    show_status(console, records, request.tracking, experiment_id, _storage_option(request))


def _plan(request: Request, records: SweepRecords, console: Console) -> Plan:
    """The plan, with the primary and the comparisons that the sweep declared first; says where they are others."""
    manifest = records.manifest()
    if request.sync:
        # Without a manifest the records alone say what the sweep is.
        declared = manifest or Manifest()
        planned = declared.planned_trials or len(records.done())
        if manifest is None and not planned:
            raise no_sweep(records)
        return declared_plan(replace(declared, planned_trials=planned))
    best_settings = None
    if request.from_sweep is not None:
        best_settings = load_best_settings(SweepRecords(records.storage, request.from_sweep))
    # Files are hashed and decoded when they are first met.
    with console.status("Reading the data"):
        plan = make_plan(request.space, request.dataset, request.overrides, request.max_trials, best_settings)
    if manifest is None:
        return plan
    _note(console, declared_note(plan, manifest))
    return replace(plan, space=declared_space(plan.space, manifest))


def _run_and_finish(
    request: Request, plan: Plan, records: SweepRecords, progress: Progress, log: SweepLog, stop: Stop, console: Console
) -> Outcome:
    # A killed driver leaves its scratch folder.
    shutil.rmtree(scratch_folder(records.storage.location, records.name), ignore_errors=True)
    # Only now is it known which trials are done.
    with console.status("Reading the records"):
        loaded = records.load()
    pending = [] if request.sync else plan.pending(loaded.records)
    progress.note_done(plan.planned - len(pending))
    say(console, f"Sweep {records.name}: {count(plan.planned, 'trial')}, {len(pending):,} to run")
    kept = weights_note(request.keep_weights, records, plan, loaded.records)
    _note(console, seeds_note(plan) if ends_inside_a_seed(plan) else None, others_note(plan, loaded.records), kept)
    with _how_far(progress, records.name if request.fresh else None):
        others, command = len(plan.others(loaded.records)), request.command(records.name, plan.cut)
        try:
            with console.status("Starting Ray"):
                slots = connect(request.address, request.concurrency, request.resources, console) if pending else 0
                if pending and not request.local:
                    check_shared(records, request.resources, console)
        except KeyboardInterrupt:
            # A new sweep keeps its plan, which --status shows. After an error nothing is kept.
            if pending and records.manifest() is None:
                declare(records, plan, command, others, request.keep_weights)
            raise
        changed = not request.sync and declare(records, plan, command, others, request.keep_weights)
        for path, reason in records.set_aside(loaded.rejected).items():
            say(console, f"set aside {path}: {reason}", "yellow")
        log.event("start", space=plan.space.name, planned=plan.planned, pending=len(pending), slots=slots)
        mirror = None
        if request.tracking != NONE:
            with console.status("Opening MLflow"):
                mirror = _open_mirror(request, plan, records, loaded.records, console)
        stop.check()

        best = None
        if request.keep_weights == "best" and not request.sync:
            best = BestWeights(records, loaded.records)

        with mirror or nullcontext():
            # Run: each trial writes its record, and the mirror follows.
            if pending:
                if plan.searcher is None:
                    command = _report_command(request, records.name)
                    say(console, "A report on the trials so far, at any time: ", place=command)
                recorder = Recorder(
                    storage=records.storage.location,
                    sweep=records.name,
                    searcher=plan.searcher,
                    keep_weights=request.keep_weights,
                    report_seconds=REPORT_SECONDS,
                    # A search reads the records of the trials that have ended.
                    in_background=plan.searcher is None,
                )
                queue = plan.queue(records, loaded.records, slots)
                followers: list[Callable[[str], object]] = [] if best is None else [best.add]
                if mirror is not None:
                    followers.append(mirror.add)
                del loaded  # Stale, and large in a large sweep.
                # Until a trial runs there is nothing to wait for.
                with progress, stop.gently(lambda: progress.running > 0):
                    run_trials(queue, recorder, slots, request.resources, progress, log, stop, followers)
                stop.check()
                loaded = records.load()

            # Mirror and finish: MLflow, the table and the analysis all use the records as just read.
            behind = False
            if mirror is not None:
                behind = mirror.finish(loaded.records, MLFLOW_PATIENCE if IN_RAY_JOB in os.environ else AT_END)
                if request.keep_weights == "best" or request.sync:
                    # Not before: which are the best is known only now.
                    mirror.add_weights()
        experiment = None if mirror is None else mirror.experiment
        changed |= bool(pending) or request.sync or behind or report_is_outdated(records)
        if changed:
            # If this is interrupted, the next run finds no report, and writes it.
            records.storage.delete(f"{records.name}/report/report.html")
        return finish(records, loaded, plan, experiment, changed, console)


def _open_mirror(
    request: Request, plan: Plan, records: SweepRecords, existing: Sequence[Record], console: Console
) -> Mirror:
    primary = plan.space.primary
    trials = chain((config.columns() for config in plan.trials.values()), existing)
    open_ = partial(
        open_tracking,
        request.tracking,
        records.name,
        scores=(primary.outcome, primary.column, columns.performance("test_id", "auc")),
        named_by=telling_apart(trials, map(columns.setting, plan.tuned())),
    )
    weights, rest = request.keep_weights == "all", MIRROR_REST if request.local else 0.0
    return Mirror(open_, records, existing, console, weights=weights, rest=rest)


@contextmanager
def _how_far(progress: Progress, fresh: str | None) -> Iterator[None]:
    """Say in a KeyboardInterrupt how far the sweep is and how to go on; `fresh` is the name that --fresh chose."""
    try:
        yield
    except KeyboardInterrupt:
        instead = f" with --name {fresh} in place of --fresh" if fresh else ""
        done = f"{progress.done} of {count(progress.total, 'trial')} done"
        raise KeyboardInterrupt(f"{done}. Repeat the command{instead} to go on.") from None


def _report_command(request: Request, sweep: str) -> str:
    return f"python -m analysis --sweep {sweep}{_storage_option(request)}"


def _sync_command(request: Request, sweep: str) -> str:
    tracking = "" if request.tracking_uri is None else f" --tracking-uri {shlex.quote(scrub(request.tracking_uri))}"
    return f"python sweep.py --name {sweep}{_storage_option(request)}{tracking} --sync"


def _storage_option(request: Request) -> str:
    return "" if request.storage == default_location() else f" --storage {shlex.quote(request.storage)}"


def _note(console: Console, *notes: str | None) -> None:
    for note in filter(None, notes):
        say(console, note)


def _show(outcome: Outcome, progress: Progress, link: str, console: Console) -> None:
    say(console, f"\n{outcome.answer}\n", "bold")
    if outcome.correlated:
        say(console, f"{outcome.correlated}\n")
    if outcome.methods is not None:
        console.print(outcome.methods, "", sep="\n")
    if outcome.more:
        say(console, f"{outcome.more}\n")
    if outcome.report:
        say(console, "Report     ", place=outcome.report)
    say(console, f"MLflow UI  {link}")
    bad = {"failed": outcome.failed, "diverged": outcome.diverged}
    parts = [f"{count(number, 'trial')} {how}" for how, number in bad.items() if number]
    if parts:
        say(console, f"{listed(parts)}; see their records for the reasons.", "yellow")
    for reason in progress.gave_up:
        say(console, reason, "yellow")
