"""The spaces, and the effect of a sweep before it runs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from driver.terminal import say
from search_spaces import SPACES

if TYPE_CHECKING:
    from driver.plan.plan import Plan
    from trainables import TrialConfig

AXES = ("dataset", "severity", "method", "strength", "lr", "model", "seed")
LEVELS_SHOWN = 12


def show_spaces(console: Console) -> None:
    """Print every space's name and the first line of its docstring. No space is built: some load torch."""
    for name, make in SPACES.items():
        summary = (make.__doc__ or "").partition("\n")[0]
        console.print(Text.assemble((name, "bold"), f"  {summary}"), soft_wrap=not console.is_terminal)


def show_plan(
    console: Console,
    location: str,
    plan: "Plan",
    pending: "Sequence[TrialConfig]",
    slots: int,
    memory: Sequence[str] = (),
) -> None:
    """Print a sweep's levels by axis, the number of done trials and the estimated time left, `slots` at a time.

    `memory` are sentences about the memory that the trials take.
    """
    # These load torch, which `show_spaces` does without.
    from analysis.numbers import count
    from driver.plan.cost import estimated_seconds
    from driver.view.progress import clock

    trials, tuned = list(plan.trials.values()), plan.tuned()
    table = Table(box=None, show_header=False, padding=(0, 2))
    for axis in dict.fromkeys((*AXES, *tuned)):
        if axis in tuned:
            table.add_row(axis, "", tuned[axis])
            continue
        levels = list(dict.fromkeys(getattr(trial, axis) for trial in trials))
        shown = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in levels[:LEVELS_SHOWN])
        table.add_row(axis, str(len(levels)), shown + (", …" if len(levels) > LEVELS_SHOWN else ""))
    if packages := sorted({trial.plugins for trial in trials} - {""}):
        say(console, f"Plug-ins: {'; '.join(packages)}")
    time = clock(estimated_seconds(pending) / slots)
    say(console, f"Space {plan.space.name}: {plan.space.description}")
    console.print(table)
    goal = f"Primary analysis: {plan.space.primary}"
    if plan.searcher is not None:
        goal = f"Searched by {plan.searcher} for the highest validation AUC at the selected epoch"
    done = plan.planned - len(pending)
    say(console, goal)
    say(console, f"{count(plan.planned, 'trial')} in {location}, {done:,} done, {len(pending):,} to run")
    say(console, f"About {time} with {count(slots, 'trial')} at a time, measured here; accurate to a factor of two")
    for note in memory:
        say(console, note, "yellow" if note.startswith("Warning") else "")
    say(console, "Dry run: nothing was started.")
