#!/usr/bin/env python
"""Run a sweep: train, score, track and answer. The entry point on a laptop and on a Ray cluster."""

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal

SOME_FAILED, INTERRUPTED = 10, 130
REPEAT = "Interrupted. Repeat the command to go on."
SHOW_CURSOR = "\x1b[?25h"
"""Spinners hide the terminal's cursor."""


def leave(number: int, frame: FrameType | None) -> None:
    """End the command before its sweep starts or after it ends, where Python would print a traceback of an import."""
    if not ending:
        text = f"\n{REPEAT}\n"
        os.write(2, (SHOW_CURSOR + text if sys.stderr.isatty() else text).encode())
    os._exit(INTERRUPTED)


ending = False
"""Whether the command has printed its final message."""

if __name__ == "__main__":
    # Before the imports, which take seconds. A running sweep sets its own handler.
    signal.signal(signal.SIGINT, leave)

# `ray submit` copies only this file to the home directory. The project is in ~/project.
SUBMITTED = not (Path(__file__).resolve().parent / "driver").is_dir()
PLACES = (Path(__file__).resolve().parent, Path.home() / "project", Path.cwd())
ROOT = next((place for place in PLACES if (place / "driver").is_dir()), None)
if ROOT is None:
    sys.exit(f"Error: the project is in none of {', '.join(map(str, PLACES))}; change into its folder")
sys.path.insert(0, str(ROOT))

import typer  # noqa: E402
from rich.console import Console  # noqa: E402

from driver import UserError  # noqa: E402
from driver.terminal import say  # noqa: E402
from records.storage import DEFAULT as DEFAULT_STORAGE  # noqa: E402
from records.storage import VARIABLE as STORAGE_VARIABLE  # noqa: E402

# Without Rich's markup, which would take "[default: …]" for a style.
app = typer.Typer(
    rich_markup_mode=None, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


def at_least(minimum: int, kind: type[int] | type[float]) -> Callable[[object], float]:
    """A parser for a number of the command line. Unlike typer's check, its error names the value."""

    def parse(text: object) -> float:
        try:
            number = kind(str(text))
        except ValueError:
            number = -1
        if not minimum <= number < float("inf"):
            raise typer.BadParameter(f"{str(text)!r} is not a {'whole ' * (kind is int)}number of at least {minimum}")
        return number

    return parse


def spaces(incomplete: str) -> list[str]:
    """The names of spaces that begin with the given text, for the shell's completion."""
    from search_spaces import SPACES

    return [name for name in SPACES if name.startswith(incomplete)]


def show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"saliency-sweep {version('saliency-sweep')}")
        raise typer.Exit


@app.command()
def sweep(
    context: typer.Context,
    space: Annotated[
        str,
        typer.Option(
            help="Trials to run: a space's name (see --list-spaces) or a file NAME.py.",
            metavar="NAME",
            autocompletion=spaces,
        ),
    ] = "smoke",
    dataset: Annotated[
        str | None,
        typer.Option(help="Only this dataset: a name, folder:PATH or manifest:FILE.csv.", metavar="NAME"),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The sweep's name.  [default: the space's name]", metavar="NAME")
    ] = None,
    storage: Annotated[
        str,
        typer.Option(
            help="Storage of the records: a folder or s3://bucket/prefix.",
            metavar="DIR|s3://…",
            envvar=STORAGE_VARIABLE,
        ),
    ] = DEFAULT_STORAGE,
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            help="MLflow's database or server, or none to do without.  [default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db]",
            metavar="URI",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Ray cluster to connect to.  "
            "[default: auto if submitted to a cluster or RAY_ADDRESS is set, else local]",
            metavar="local|auto|ray://…",
        ),
    ] = None,
    max_trials: Annotated[
        int | None, typer.Option(parser=at_least(1, int), metavar="N", help="Run only the first N trials.")
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            parser=at_least(1, int),
            metavar="N",
            help="Trials run at once, one thread each.  [default: all there is room for]",
        ),
    ] = None,
    cpus_per_trial: Annotated[
        float, typer.Option(parser=at_least(0, float), metavar="N", help="Processors that Ray sets aside for a trial.")
    ] = 1.0,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(
            parser=at_least(0, float),
            metavar="N",
            help="GPUs of a trial: 0 trains on processors, a fraction such as 0.25 shares a GPU.  [default: 0]",
            envvar="SWEEP_GPUS_PER_TRIAL",
        ),
    ] = None,
    keep_weights: Annotated[
        Literal["none", "best", "all"],
        typer.Option(
            help="Keep the trained models: all, or the best of each configuration by validation loss. "
            "trainables.load_model reads them.",
            metavar="none|best|all",
        ),
    ] = "none",
    from_sweep: Annotated[
        str | None,
        typer.Option("--from", help="Use the best settings found by this sweep's search.", metavar="SWEEP"),
    ] = None,
    assignments: Annotated[
        list[str],
        typer.Option("--set", help="Override a setting of all trials, e.g. --set epochs=20.", metavar="KEY=VALUE"),
    ] = [],  # noqa: B006, typer copies it
    list_spaces: Annotated[bool, typer.Option("--list-spaces", help="List the spaces and exit.")] = False,
    list_sweeps: Annotated[
        bool, typer.Option("--list-sweeps", help="List the sweeps with their progress and exit.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run and roughly how long it would take, and exit.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Show the sweep's progress and exit.")] = False,
    sync: Annotated[
        bool, typer.Option("--sync", help="Train nothing; bring MLflow and the report up to date with the records.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start a new sweep under the next free name.")] = False,
    delete: Annotated[
        str | None,
        typer.Option(
            "--delete",
            help="Delete this sweep: records, artifacts, report and MLflow runs. Lists them and asks first.",
            metavar="SWEEP",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --delete: do not ask for confirmation.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    """Train mask-aware methods over strengths, shift severities and seeds, and test whether saliency predicts accuracy.

    Running the same command again continues the sweep: finished trials are skipped.

    Exit codes: 0 done; 1 stopped by an error or an external cause; 2 bad
    arguments or settings; 10 some trials failed; 130 interrupted.
    """
    console = Console(highlight=False)
    with exit_codes():
        if list_spaces:
            from driver.view.dry_run import show_spaces

            show_spaces(console)
            return
        if list_sweeps:
            from driver.view.sweeps import show_sweeps

            show_sweeps(console, storage)
            return
        if delete is not None:
            from driver.upkeep.delete import delete_sweep

            # Raises KeyboardInterrupt, so that the lease is released.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            delete_sweep(storage, delete, tracking_uri, yes, console)
            return
        from driver.ray.cluster import default_address
        from driver.request import Request

        options = {**context.params, "address": address or default_address(SUBMITTED)}
        request = Request(**{field.name: options[field.name] for field in fields(Request)})
        with console.status("Loading torch and Ray"):
            # Only after the request is checked.
            from driver.run_sweep import run_sweep

        outcome = run_sweep(request, console)
        if outcome is not None and (outcome.failed or outcome.diverged):
            raise typer.Exit(SOME_FAILED)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn a UserError into one line and an exit code. Other errors keep their traceback."""
    console = Console(stderr=True, highlight=False)
    try:
        yield
    except UserError as error:
        say(console, f"Error: {error}", "red")
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt as interrupt:
        say(console, f"\nInterrupted: {interrupt}" if str(interrupt) else f"\n{REPEAT}")
        raise typer.Exit(INTERRUPTED) from None


def main() -> None:
    """Run the command, then exit without Python's final garbage collection, which takes seconds with torch loaded."""
    global ending
    try:
        app()
    finally:
        ending = True
        gc.freeze()


if __name__ == "__main__":
    main()
