"""A progress bar on a terminal; the analysis itself only calls a function."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

PATIENCE_SECONDS = 3.0
"""The bar appears only after this long."""


@contextmanager
def progress_bar(
    description: str, stream: TextIO | None = None, patience: float = PATIENCE_SECONDS
) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a function to call with (parts done, parts in all or None).

    Args:
        description: text beside the bar.
        stream: where to draw, by default standard error; nothing is drawn on a pipe or into a file.
        patience: seconds before the bar appears.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(file=stream or sys.stderr)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = progress.add_task(description, total=None)
    start = time.monotonic()
    started = False

    def advance(done: int, total: int | None = None) -> None:
        nonlocal started
        progress.update(task, completed=done, total=total)
        if not started and time.monotonic() - start >= patience:
            progress.start()
            started = True

    try:
        yield advance
    finally:
        progress.stop()
