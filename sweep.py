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
from typing import Any, Literal

SOME_FAILED, INTERRUPTED = 10, 130
REPEAT = "Interrupted. Repeat the command to go on."
SHOW_CURSOR = "\x1b[?25h"
ending = False
"""Whether the command has printed its final message."""


def leave(number: int, frame: FrameType | None) -> None:
    """End the command before its sweep starts or after it ends. Otherwise Python would print a traceback."""
    if not ending:
        text = f"\n{REPEAT}\n"
        os.write(2, (SHOW_CURSOR + text if sys.stderr.isatty() else text).encode())
    os._exit(INTERRUPTED)


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

from importlib import metadata  # noqa: E402

import typer  # noqa: E402

from driver import UserError  # noqa: E402
from driver.terminal import Terminal, say  # noqa: E402
from records.secrets import show  # noqa: E402
from records.storage import DEFAULT as DEFAULT_STORAGE  # noqa: E402
from records.storage import VARIABLE as STORAGE_VARIABLE  # noqa: E402

# Without Rich's markup, which would take "[default: …]" for a style.
HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=HELP)


def option(default: Any, text: str, metavar: str | None = None, *flags: str, **settings: Any) -> Any:
    """An option with this default and help text. Flags are needed only if they differ from the parameter's name."""
    return typer.Option(default, *flags, help=text, metavar=metavar, **settings)


def flag(name: str, text: str, **settings: Any) -> Any:
    """An option without a value and without typer's "--no-…"."""
    return option(False, text, None, name, **settings)


def at_least(minimum: int, kind: type[int] | type[float]) -> Callable[[object], float]:
    """A parser for a number. Unlike typer's check, its error names the value."""

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


def show_version(requested: bool) -> None:
    if requested:
        show(f"saliency-sweep {metadata.version('saliency-sweep')}")
        raise typer.Exit


@app.command()
def sweep(
    context: typer.Context,
    space: str = option(
        "smoke", "Trials to run: a space's name (see --list-spaces) or a file NAME.py.", "NAME", autocompletion=spaces
    ),
    dataset: str | None = option(None, "Only this dataset: a name, folder:PATH or manifest:FILE.csv.", "NAME"),
    name: str | None = option(None, "The sweep's name.  [default: the space's name]", "NAME"),
    storage: str = option(
        DEFAULT_STORAGE,
        "Storage of the records: a folder or s3://bucket/prefix.",
        "DIR|s3://…",
        envvar=STORAGE_VARIABLE,
    ),
    tracking_uri: str | None = option(
        None,
        "MLflow's database or server, or none to do without.  [default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db]",
        "URI",
    ),
    address: str | None = option(
        None,
        "Ray cluster to connect to.  [default: auto if submitted to a cluster or RAY_ADDRESS is set, else local]",
        "local|auto|ray://…",
    ),
    max_trials: int | None = option(None, "Run only the first N trials.", "N", parser=at_least(1, int)),
    concurrency: int | None = option(
        None, "Trials run at once, one thread each.  [default: all there is room for]", "N", parser=at_least(1, int)
    ),
    cpus_per_trial: float = option(1.0, "Processors that Ray sets aside for a trial.", "N", parser=at_least(0, float)),
    gpus_per_trial: float | None = option(
        None,
        "GPUs of a trial: 0 trains on processors, a fraction such as 0.25 shares a GPU.  [default: 0]",
        "N",
        parser=at_least(0, float),
        envvar="SWEEP_GPUS_PER_TRIAL",
    ),
    keep_weights: Literal["none", "best", "all"] = option(
        "none",
        "Keep the trained models: all, or the best of each configuration by validation loss. "
        "trainables.load_model reads them.",
        "none|best|all",
    ),
    from_sweep: str | None = option(None, "Use the best settings found by this sweep's search.", "SWEEP", "--from"),
    until: Literal["answered"] | None = option(
        None,
        "Run data seed by data seed, and end once every declared comparison is decided or cannot be.",
        "answered",
    ),
    assignments: list[str] = option(  # noqa: B008, typer copies it
        [], "Override a setting of all trials, e.g. --set epochs=20.", "KEY=VALUE", "--set"
    ),
    list_spaces: bool = flag("--list-spaces", "List the spaces and exit."),
    list_sweeps: bool = flag("--list-sweeps", "List the sweeps with their progress and exit."),
    dry_run: bool = flag("--dry-run", "Show what would run, with estimates of time and memory, and exit."),
    status: bool = flag("--status", "Show the sweep's progress and exit."),
    sync: bool = flag("--sync", "Train nothing; bring MLflow and the report up to date with the records."),
    fresh: bool = flag("--fresh", "Start a new sweep under the next free name."),
    delete: str | None = option(
        None, "Delete this sweep: records, artifacts, report and MLflow runs. Lists them and asks first.", "SWEEP"
    ),
    yes: bool = flag("--yes", "With --delete: do not ask for confirmation."),
    version: bool = flag("--version", "Show the version and exit.", callback=show_version, is_eager=True),
) -> None:
    """Train mask-aware methods over strengths, shift severities and seeds, and test whether saliency predicts accuracy.

    Running the same command again continues the sweep: finished trials are skipped.

    Exit codes: 0 done; 1 stopped by an error or an external cause; 2 bad
    arguments or settings; 10 some trials failed; 130 interrupted.
    """
    console = Terminal()
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
        if status:
            from driver.view.status import show_status

            show_status(console, request.storage, request.sweep, request.tracking, request.storage_option)
            return
        with console.status("Loading torch and Ray"):
            # Only after the request is checked.
            from driver.run_sweep import run_sweep

        outcome = run_sweep(request, console)
        if outcome is not None and (outcome.failed or outcome.diverged):
            raise typer.Exit(SOME_FAILED)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn a UserError into one line and an exit code. Other errors keep their traceback."""
    console = Terminal(stderr=True)
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
        if "triton" not in sys.modules:  # its bindings, which timm loads, would print what is not collected
            gc.freeze()


if __name__ == "__main__":
    main()
