"""What the two command lines share: the app, their common options, the exit codes and the progress bar."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, TextIO

import typer

from analysis.errors import AnalysisError
from records import StorageError
from records.secrets import show

StorageOption = Annotated[
    str | None,
    typer.Option(
        help="Folder or s3://bucket/prefix that holds the sweep.  [default: SWEEP_STORAGE, else sweeps]",
        metavar="DIR|s3://…",
    ),
]


def command_line() -> typer.Typer:
    """An app with plain help texts and tracebacks."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


@contextmanager
def exit_codes() -> Iterator[None]:
    """Print an error that the user can fix as one line and exit with code 2; exit with 130 on an interrupt."""
    try:
        yield
    except (AnalysisError, StorageError) as error:
        show(f"Error: {' '.join(str(error).split())}", file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        show("\nInterrupted.", file=sys.stderr)
        raise typer.Exit(130) from None


@contextmanager
def progress_bar(
    description: str, stream: TextIO | None = None, patience: float = 3.0
) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a function of (steps done, total or None) that draws a bar on a terminal after `patience` seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(file=stream or sys.stderr)
    bar = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(show_speed=True), TimeRemainingColumn())
    progress = Progress(*bar, console=console, transient=True, disable=not console.is_terminal)
    task = progress.add_task(description, total=None)
    start = time.monotonic()

    def advance(done: int, total: int | None = None) -> None:
        progress.update(task, completed=done, total=total)
        if not progress.live.is_started and time.monotonic() - start >= patience:
            progress.start()

    try:
        yield advance
    finally:
        progress.stop()
