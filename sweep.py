"""Run a sweep: train, score, track and answer. The one entry point, on a laptop or submitted to a Ray cluster."""

import os
import sys
from pathlib import Path
from typing import Annotated

# On a cluster this file arrives alone in the home directory; the project lies beside it as ~/project.
ROOT = next(
    p for p in (Path(__file__).resolve().parent, Path.home() / "project", Path.cwd()) if (p / "driver").is_dir()
)
sys.path.insert(0, str(ROOT))

import typer  # noqa: E402
from rich.console import Console  # noqa: E402

from driver.errors import UserError  # noqa: E402

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
DONE, SOME_FAILED, BAD_USE, INTERRUPTED = 0, 1, 2, 130


@app.command()
def sweep(
    space: Annotated[str, typer.Option(help="Which trials: a space's name, see --list-spaces.")] = "smoke",
    dataset: Annotated[str | None, typer.Option(help="This dataset alone.", metavar="NAME")] = None,
    name: Annotated[str | None, typer.Option(help="The sweep's name. [default: the space's name]")] = None,
    storage: Annotated[
        str, typer.Option(help="Where records go: a folder, or s3://bucket/prefix.", metavar="DIR|s3://…")
    ] = "sweeps",
    tracking_uri: Annotated[
        str | None,
        typer.Option(help="MLflow's database or server. [default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db]"),
    ] = None,
    address: Annotated[str, typer.Option(help="The Ray to run on.", metavar="local|auto|ray://…")] = "local",
    max_trials: Annotated[int | None, typer.Option(min=1, help="Only the first so many trials.")] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Trials at a time, one thread each. [default: one a processor]")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a setting of all trials, e.g. --set epochs=20.", metavar="KEY=VALUE"),
    ] = None,
    list_spaces: Annotated[bool, typer.Option("--list-spaces", help="Say which spaces there are, and stop.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run and about how long it takes, and stop.")
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
    try:
        if list_spaces:
            show_spaces(console)
            return
        code = run(
            console, space, dataset, name, storage, tracking_uri, address, max_trials, concurrency,
            assignments or [], dry_run, fresh,
        )  # fmt: skip
    except UserError as error:
        Console(stderr=True, highlight=False).print(f"sweep.py: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(BAD_USE) from None
    except KeyboardInterrupt:
        Console(stderr=True).print("\nInterrupted. The same command continues where this one stopped.")
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(code)


def run(
    console: Console,
    space: str,
    dataset: str | None,
    name: str | None,
    storage: str,
    tracking_uri: str | None,
    address: str,
    max_trials: int | None,
    concurrency: int | None,
    assignments: list[str],
    dry_run: bool,
    fresh: bool,
) -> int:
    """Plan, run, finish; the exit code.

    Raises:
        UserError: anything wrong with the arguments, before a trial starts.
    """
    # The rest of the program loads torch and Ray, which --help and --list-spaces can do without.
    from driver.cluster import check_address, connect
    from driver.finish import catch_up, finish
    from driver.plan import make_plan, parse_overrides
    from driver.tracking import check_tracking_uri, open_tracking
    from records import StorageError, SweepRecords, open_storage

    check_address(address)
    plan = make_plan(space, dataset, parse_overrides(assignments), max_trials)
    tracking = check_tracking_uri(tracking_uri)
    try:
        place = open_storage(storage)
        place.check()
        records = SweepRecords(place, name or space)
        if fresh:
            records = _next_free(records)
        retried = {r["trial_key"] for r in records.load().records if r["status"] == "failed"}
        done = records.done() - retried
    except StorageError as error:
        raise UserError(str(error)) from None
    pending = [config for key, config in plan.trials.items() if key not in done]

    if dry_run:
        show_plan(console, records.location, plan, pending, concurrency or os.cpu_count() or 1)
        return DONE

    console.print(f"Sweep [bold]{records.name}[/bold]: {len(plan.trials)} trials, {len(pending)} to run")
    try:
        _write_manifest(records, plan)
    except (StorageError, ValueError) as error:
        raise UserError(str(error)) from None
    experiment = open_tracking(tracking, records.name, console)
    if pending:
        from driver.progress import Progress
        from driver.run import run_trials
        from trainables import Recorder

        slots = connect(address, concurrency)
        recorder = Recorder(records.storage.location, records.name, experiment)
        with Progress(console, len(plan.trials), len(plan.trials) - len(pending)) as progress:
            run_trials(pending, recorder, slots, progress)
    if experiment is not None and (problem := catch_up(records, experiment, console)):
        console.print(f"{problem}; the next run brings MLflow up to date", style="yellow")

    outcome = finish(records, set(plan.trials), experiment, bool(pending), console)
    console.print()
    console.print(outcome.answer, style="bold", soft_wrap=True)
    console.print(f"\nReport     {outcome.report}", soft_wrap=True)
    console.print(f"MLflow UI  {ui_command(tracking)}", soft_wrap=True)
    if outcome.failed or outcome.diverged:
        console.print(
            f"{outcome.failed} trials failed and {outcome.diverged} diverged; their records say why.", style="yellow"
        )
        return SOME_FAILED
    return DONE


def show_spaces(console: Console) -> None:
    """Print every space's name, size and description."""
    from search_spaces import SPACES

    for key, make in SPACES.items():
        chosen = make()
        console.print(f"[bold]{key}[/bold]  {len(chosen.trials)} trials: {chosen.description}")


def show_plan(console: Console, location: str, plan, pending: list, slots: int) -> None:  # type: ignore[no-untyped-def, type-arg]
    """Print a sweep's size by axis, what is done already and an estimate of the time left."""
    from rich.table import Table

    from driver.cost import estimated_seconds
    from driver.progress import clock

    trials = list(plan.trials.values())
    table = Table(box=None, show_header=False, padding=(0, 2))
    for axis in ("dataset", "severity", "method", "strength", "lr", "model", "seed"):
        levels = list(dict.fromkeys(getattr(t, axis) for t in trials))
        shown = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in levels[:12])
        table.add_row(axis, str(len(levels)), shown + (", …" if len(levels) > 12 else ""))
    console.print(f"Space [bold]{plan.space.name}[/bold]: {plan.space.description}")
    console.print(table)
    primary = plan.space.primary
    console.print(f"Primary analysis: {primary.split}.{primary.metric}.{primary.attribution} against {primary.outcome}")
    console.print(f"{len(trials)} trials in {location}, {len(trials) - len(pending)} done, {len(pending)} to run")
    seconds = estimated_seconds(pending)
    console.print(
        f"About {clock(seconds / slots)} with {slots} trials at a time "
        "(from a short measurement on this machine; good to a factor of two)"
    )
    console.print("Dry run: nothing was started.")


def ui_command(tracking_uri: str) -> str:
    """How to look at the runs."""
    if tracking_uri.startswith(("http://", "https://")):
        return tracking_uri
    return f"mlflow ui --backend-store-uri {tracking_uri}   (or: make ui)"


def _next_free(records):  # type: ignore[no-untyped-def]
    """The sweep of the first name in name, name-2, name-3, … that has no files yet."""
    from records import SweepRecords

    number, candidate = 1, records
    while candidate.storage.names(f"{candidate.name}/"):
        number += 1
        candidate = SweepRecords(records.storage, f"{records.name}-{number}")
    return candidate


def _write_manifest(records, plan) -> None:  # type: ignore[no-untyped-def]
    """sweep.json: the space and its primary analysis, declared before the first trial and kept from then on."""
    manifest = records.manifest() or {"space": plan.space.name, "primary": plan.space.primary.as_dict()}
    records.write_manifest({**manifest, "planned_trials": len(plan.trials)})


if __name__ == "__main__":
    app()
