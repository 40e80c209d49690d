"""Progress of a running sweep: trials done, running and failed, time left, and the best trial so far."""

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

from analysis.numbers import count
from driver.terminal import say
from records import columns
from trainables import TrialConfig

PLAIN_EVERY = 15.0
"""Seconds between lines if the output is not a terminal."""
AROUND_TRIALS = 6
"""Lines of the terminal that running trials leave free: bar, numbers, best trial, a prompt."""
OUTCOME = columns.performance("test_ood", "auc")


class Progress:
    """A live view on a terminal; a line every 15 seconds in a file or pipe."""

    def __init__(self, console: Console, total: int):
        self.console = console
        self.total = total
        self.already_done = 0
        """Trials done by earlier runs of the command."""
        self.counts: Counter[str] = Counter()
        """Trials done by this run, by status."""
        self.skipped = 0
        self.gave_up: list[str] = []
        """Number of trials that this run leaves out, and the reasons."""
        self.trainings: dict[str, tuple[Sequence[TrialConfig], int]] = {}
        """The trials and the epoch of each running training, by the id of its Tune trial."""
        self.best: dict[str, Any] | None = None
        """The record with the highest OOD AUC at the largest severity so far."""
        self.start = time.monotonic()
        self.last_line = 0.0
        self.line_due = False
        """Whether a line waits for the next start, since between two trials a slot is briefly empty."""
        self.live = Live(get_renderable=self._view, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.live.stop()
        self.trainings.clear()
        self._print_line()

    def started(self, tune_trial: str, trials: Sequence[TrialConfig]) -> None:
        if self._is_starting:
            # The start of Ray and of the processes would make the first estimates of the time left too long.
            self.start = time.monotonic()
        self.trainings[tune_trial] = (trials, 0)
        if self.line_due:
            self._print_line()
            self.line_due, self.last_line = False, time.monotonic()

    def epoch(self, tune_trial: str, number: int) -> None:
        if tune_trial in self.trainings:
            self.trainings[tune_trial] = (self.trainings[tune_trial][0], number)

    def ended(self, tune_trial: str) -> None:
        self.trainings.pop(tune_trial, None)

    def finished(self, records: Sequence[dict[str, Any]]) -> None:
        for record in records:
            self.counts[record["status"]] += 1
            if record.get("error"):
                reason = record["error"].splitlines()[0]
                message = f"{record['status']}: {record['method']} on {record['dataset']}: {reason}"
                say(self.console, message, "red")
            # Without a shift every method is good, so trials at the largest severity come first.
            scored = [r for r in (self.best, record) if r is not None and r.get(OUTCOME) is not None]
            self.best = max(scored, key=lambda r: (r["severity"], r[OUTCOME]), default=None)
        self.line_due = not self.console.is_terminal and time.monotonic() - self.last_line >= PLAIN_EVERY

    def give_up(self, reason: str, trials: int) -> None:
        message = f"{reason}. {count(trials, 'other trial')} skipped; the same command tries again"
        self.skipped += trials
        self.gave_up.append(message)
        say(self.console, message, "red")

    def announce_stop(self) -> None:
        say(self.console, "Stopping after this epoch, with checkpoints. Ctrl-C again stops at once.", "yellow")

    def facts(self) -> dict[str, Any]:
        """Progress for programs: the lease, the log and the metrics."""
        elapsed = time.monotonic() - self.start
        new = sum(self.counts.values())
        waiting = self.total - self.skipped - self.done - self.running
        return {
            "done": self.done,
            "total": self.total,
            "running": self.running,
            "waiting": waiting,
            "trials_a_minute": 60 * new / elapsed if new else None,
            "seconds_left": (waiting + self.running) * elapsed / new if new else None,
        }

    @property
    def done(self) -> int:
        return self.already_done + sum(self.counts.values())

    @property
    def running(self) -> int:
        # A copy, since the lease's thread also reads it while trainings start and end.
        return sum(len(trials) for trials, _ in list(self.trainings.values()))

    @property
    def bad(self) -> int:
        return self.counts["failed"] + self.counts["diverged"]

    @property
    def _is_starting(self) -> bool:
        return not self.trainings and not self.counts

    def _print_line(self) -> None:
        say(self.console, ", ".join((self._numbers(), self._time())).removesuffix(", "))

    def _numbers(self) -> str:
        parts = [f"{self.done:,}/{count(self.total, 'trial')} done", f"{self.running} running", f"{self.bad} failed"]
        if self.skipped:
            parts.append(f"{self.skipped} skipped")
        if (rate := self.facts()["trials_a_minute"]) is not None:
            parts.append(f"{rate:.1f} a minute")
        return ", ".join(parts)

    def _time(self) -> str:
        left = self.facts()["seconds_left"]
        if left is None:
            return ""
        return f"about {clock(left)} left" if left else f"{clock(time.monotonic() - self.start)} elapsed"

    def _view(self) -> RenderableType:
        header = Table.grid(padding=(0, 1))
        header.add_row(ProgressBar(total=max(self.total, 1), completed=self.done, width=40), self._time())
        lines = [self._numbers()]
        if self.best is not None:
            best = f"{trial_name(self.best)} on {self.best['dataset']}, OOD AUC {self.best[OUTCOME]:.3f}"
            lines.append(f"Best at s={self.best['severity']:g}: {best}")
        if self._is_starting:
            lines.append(f"Starting the trials' processes, for {clock(time.monotonic() - self.start)}")
        trainings = list(self.trainings.values())
        room = max(1, self.console.height - AROUND_TRIALS)
        for (config, *others), number in trainings[:room]:
            parts = [f"epoch {number}/{config.epochs}", f"s={config.severity:g}", trial_name(config.columns())]
            parts += [config.dataset] + ([f"{1 + len(others)} trials"] if others else [])
            lines.append("  ▸ " + "  ".join(parts))
        if len(trainings) > room:
            lines.append(f"  … and {len(trainings) - room} more")
        return Group(header, *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))


def trial_name(record: dict[str, Any]) -> str:
    """The name of a trial within its dataset and severity: "actdiff λ=10 seed=3", or without a strength of 0."""
    strength = f" λ={record['strength']:g}" if record["strength"] else ""
    return f"{record['method']}{strength} seed={record['seed']}"


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))
