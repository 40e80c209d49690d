"""Run a sweep: train, score, track and answer. The one entry point, on a laptop or submitted to a Ray cluster."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

# On a cluster this file arrives alone in the home directory; the project lies beside it as ~/project.
SUBMITTED = not (Path(__file__).resolve().parent / "driver").is_dir()
ROOT = next(
    p for p in (Path(__file__).resolve().parent, Path.home() / "project", Path.cwd()) if (p / "driver").is_dir()
)
sys.path.insert(0, str(ROOT))

import typer  # noqa: E402
from rich.console import Console  # noqa: E402

from driver.errors import UserError  # noqa: E402

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
SOME_FAILED, BAD_USE, INTERRUPTED = 1, 2, 130


def at_least_one(text: str) -> int:
    """A whole number >= 1 from the command line."""
    text = str(text)  # A default comes as it is.
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"{text!r} is not a whole number of at least 1")
    return int(text)


def amount(text: str) -> float:
    """A number >= 0 from the command line."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise typer.BadParameter(f"{text!r} is not a number of at least 0")
    return number


@app.command()
def sweep(
    space: Annotated[
        str, typer.Option(help="Which trials: a space's name, see --list-spaces, or a file NAME.py.")
    ] = "smoke",
    dataset: Annotated[
        str | None, typer.Option(help="This dataset alone: a name, folder:PATH or manifest:FILE.csv.", metavar="NAME")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The sweep's name. [default: the space's name]")] = None,
    storage: Annotated[
        str,
        typer.Option(
            help="Where records go: a folder, or s3://bucket/prefix.", metavar="DIR|s3://…", envvar="SWEEP_STORAGE"
        ),
    ] = "sweeps",
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            help="MLflow's database or server, or none. [default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db]"
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="The Ray to run on. [default: auto if submitted to a cluster or RAY_ADDRESS is set, else local]",
            metavar="local|auto|ray://…",
        ),
    ] = None,
    max_trials: Annotated[
        int | None, typer.Option(parser=at_least_one, metavar="N", help="Only the first so many trials.")
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            parser=at_least_one, metavar="N", help="Trials at a time, one thread each. [default: all there is room for]"
        ),
    ] = None,
    cpus_per_trial: Annotated[
        float, typer.Option(parser=amount, metavar="N", help="Processors that Ray sets aside for a trial.")
    ] = 1.0,
    gpus_per_trial: Annotated[
        float, typer.Option(parser=amount, metavar="N", help="GPUs of a trial; a fraction such as 0.25 shares one.")
    ] = 0.0,
    from_sweep: Annotated[
        str | None,
        typer.Option("--from", help="Take the best settings that this sweep's search found.", metavar="SWEEP"),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a setting of all trials, e.g. --set epochs=20.", metavar="KEY=VALUE"),
    ] = None,
    list_spaces: Annotated[bool, typer.Option("--list-spaces", help="Say which spaces there are, and stop.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run and about how long it takes, and stop.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Say how far the sweep is, and stop.")] = False,
    sync: Annotated[
        bool, typer.Option("--sync", help="Train nothing; bring MLflow and the report up to date with the records.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start a new sweep beside the old one, under the next free name.")
    ] = False,
) -> None:
    """Train mask-aware methods over strengths, shift severities and seeds, and ask whether saliency predicts accuracy.

    Running the same command again continues the sweep: trials that are done are skipped.

    Exit codes: 0 done; 1 some trials failed; 2 bad arguments; 130 interrupted.
    """
    console = Console(highlight=False)
    with exit_codes():
        from driver.view.show import show_plan, show_spaces, ui_command

        if list_spaces:
            show_spaces(console)
            return

        # The rest of the program loads torch and Ray, which --help and --list-spaces can do without.
        from driver.plan.found import found_settings
        from driver.plan.plan import check_data, declare, make_plan, open_records, parse_overrides
        from driver.ray.cluster import IN_RAY_JOB, TrialResources, check_address, connect, default_address
        from driver.ray.run import run_trials, scratch_folder
        from driver.ray.shared_storage import check_shared
        from driver.stop import Stop
        from driver.upkeep.finish import catch_up, finish
        from driver.upkeep.lease import RENEW_EVERY, SECONDS, Lease
        from driver.upkeep.tracking import check_tracking_uri, open_tracking
        from driver.view.log import SweepLog
        from driver.view.progress import Progress
        from driver.view.status import show_status
        from trainables import Recorder

        address = address or default_address(SUBMITTED)
        check_address(address)
        resources = TrialResources(cpus_per_trial, gpus_per_trial)
        found = None if from_sweep is None else found_settings(open_records(storage, from_sweep, fresh=False))
        overrides = parse_overrides(assignments or [])
        # Files are hashed and decoded the first time that they are met.
        with console.status("Reading the data"):
            plan = make_plan(space, dataset, overrides, max_trials, found)
        tracking = check_tracking_uri(tracking_uri)
        records = open_records(storage, name or Path(space).stem, fresh)
        if status:
            show_status(console, records)
            return
        if not sync:
            with console.status("Reading the data"):
                check_data(plan)
        if dry_run:
            show_plan(console, records.location, plan, plan.pending(records), concurrency)
            return

        progress = Progress(console, plan.planned)
        # A Ray job is started again by Kubernetes when its cluster was lost, and then finds its own lease.
        patience = SECONDS + RENEW_EVERY if IN_RAY_JOB in os.environ else 0.0
        with Stop() as stop, Lease(records, progress.facts, stop.give_up, patience):
            # The lease makes the sweep ours: what a killed driver left behind goes now.
            shutil.rmtree(scratch_folder(records.storage.location, records.name), ignore_errors=True)
            # Only now: until the lease was ours another driver may have finished some of them.
            pending = [] if sync else plan.pending(records)
            progress.skip(plan.planned - len(pending))
            slots = connect(address, concurrency, resources, console) if pending else 0
            if pending and address != "local":
                check_shared(records)
            declare(records, plan)
            for path, reason in records.set_aside().items():
                console.print(f"set aside {path}: {reason}", style="yellow", markup=False, soft_wrap=True)
            log = SweepLog(records)
            console.print(f"Sweep {records.name}: {plan.planned} trials, {len(pending)} to run")
            log.event("start", space=plan.space.name, planned=plan.planned, pending=len(pending), slots=slots)
            experiment = open_tracking(tracking, records.name, console)
            try:
                if pending:
                    # Other nodes do not have a database file of this one: then MLflow catches up at the end.
                    reachable = address == "local" or not tracking.startswith("sqlite:")
                    mirror = experiment if reachable else None
                    recorder = Recorder(records.storage.location, records.name, mirror, searcher=plan.searcher)
                    with progress:
                        run_trials(plan.queue(records, slots), recorder, slots, resources, progress, log, stop)
                stop.check()
                behind = experiment is not None and catch_up(records, experiment, console)
                outcome = finish(records, plan, experiment, bool(pending) or sync or behind, console)
                log.event("end", answer=outcome.answer)
            finally:
                log.event("stop", **progress.facts())
                log.flush()

        console.print(f"\n{outcome.answer}\n", style="bold", soft_wrap=True)
        if outcome.report:
            console.print(f"Report     {outcome.report}", soft_wrap=True)
        console.print(f"MLflow UI  {ui_command(tracking)}", soft_wrap=True)
        if outcome.failed or outcome.diverged:
            console.print(
                f"{outcome.failed} trials failed and {outcome.diverged} diverged; their records say why.",
                style="yellow",
            )
            raise typer.Exit(SOME_FAILED)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Errors of the user's making become one line and an exit code; the others keep their traceback."""
    console = Console(stderr=True, highlight=False)
    from records import StorageError

    try:
        yield
    except (UserError, StorageError) as error:
        console.print(f"sweep.py: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(BAD_USE) from None
    except KeyboardInterrupt:
        console.print("\nInterrupted. The same command continues where this one stopped.")
        raise typer.Exit(INTERRUPTED) from None


if __name__ == "__main__":
    app()
