"""Progress of a running sweep for people: trials done, running and failed, rate and time left."""

import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trainables import TrialConfig

PLAIN_EVERY = 15.0
"""Seconds between lines where the output is not a terminal."""


class Progress:
    """A live view on a terminal; a line every 15 seconds in a file or pipe."""

    def __init__(self, console: Console, total: int):
        self.console = console
        self.total = total
        self.already_done = 0
        self.counts: Counter[str] = Counter()
        self.trainings: dict[str, tuple[Sequence[TrialConfig], int]] = {}
        """Running trials by the id of their Tune trial: those of one training, and its epoch."""
        self.mirror_problem: str | None = None
        self.start = time.monotonic()
        self.last_line = 0.0
        self.live = Live(get_renderable=self._view, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.live.stop()
        self.console.print(self._line(), soft_wrap=True)

    def skip(self, trials: int) -> None:
        """Count trials done by earlier runs of the command."""
        self.already_done = trials

    def started(self, tune_trial: str, trials: Sequence[TrialConfig]) -> None:
        """Note that a training of these trials has started."""
        self.trainings[tune_trial] = (trials, 0)

    def epoch(self, tune_trial: str, number: int) -> None:
        if tune_trial in self.trainings:
            self.trainings[tune_trial] = (self.trainings[tune_trial][0], number)

    def finished(self, tune_trial: str, records: Sequence[dict[str, Any]]) -> None:
        """Count the records of the trials of one training."""
        self.trainings.pop(tune_trial, None)
        for record in records:
            self._count(record)
        if not self.console.is_terminal and time.monotonic() - self.last_line >= PLAIN_EVERY:
            self.console.print(self._line(), soft_wrap=True)
            self.last_line = time.monotonic()

    def _count(self, record: dict[str, Any]) -> None:
        self.counts[record["status"]] += 1
        if record.get("error"):
            reason = record["error"].splitlines()[0]
            text = f"{record['status']}: {record['method']} on {record['dataset']}: {reason}"
            self.console.print(Text(text, style="red"), soft_wrap=True)
        problem = record.get("mirror_problem")
        if problem and problem != self.mirror_problem:
            text = f"{problem}; trials continue, and MLflow is brought up to date later"
            self.console.print(Text(text, style="yellow"), soft_wrap=True)
            self.mirror_problem = problem

    def facts(self) -> dict[str, Any]:
        """Progress for programs: the lease, the log and the metrics."""
        elapsed = time.monotonic() - self.start
        new = sum(self.counts.values())
        return {
            "done": self.done,
            "total": self.total,
            "running": self.running,
            "trials_a_minute": 60 * new / elapsed if new else None,
            "seconds_left": (self.total - self.done) * elapsed / new if new else None,
        }

    @property
    def done(self) -> int:
        return self.already_done + sum(self.counts.values())

    @property
    def running(self) -> int:
        return sum(len(trials) for trials, _ in self.trainings.values())

    @property
    def bad(self) -> int:
        return self.counts["failed"] + self.counts["diverged"]

    def _line(self) -> str:
        facts = self.facts()
        parts = [f"{self.done}/{self.total} trials done", f"{self.running} running", f"{self.bad} failed"]
        if facts["trials_a_minute"] is not None:
            elapsed = clock(time.monotonic() - self.start)
            parts += [f"{facts['trials_a_minute']:.1f} a minute", f"{elapsed} elapsed"]
            if self.total > self.done:
                parts.append(f"about {clock(facts['seconds_left'])} left")
        return ", ".join(parts)

    def _view(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for (config, *others), number in list(self.trainings.values()):
            name = f"{config.dataset}  s={config.severity:g}  {config.method}  strength {config.strength:g}"
            epoch = f"epoch {number}/{config.epochs}" + (f", {1 + len(others)} trials" if others else "")
            table.add_row(Text("  ▸", style="cyan"), name, f"seed {config.seed}", epoch)
        bar = ProgressBar(total=max(self.total, 1), completed=self.done, width=60)
        return Group(bar, Text(self._line()), table)


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))
