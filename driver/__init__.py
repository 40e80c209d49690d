"""Everything that sweep.py does; `run_sweep.py` tells it on one page.

    run_sweep.py   the story: plan, lease, run, mirror, finish
    request.py     what the command line asks for, checked before torch and Ray load
    plan/          the trials of a sweep: make_plan, plan, declared (a sweep's own), search, study, space files,
                   cost, best settings of a search
    upkeep/        what keeps a sweep whole: lease, stop, tracking (MLflow), parent_run, finish
    view/          what people and programs see: progress, status, dry run, log, metrics, mlflow_ui
    terminal.py    messages of the commands
    ray/           start (on this machine), cluster, and run: the pending trials through Ray Tune

plan, upkeep, view, ray and request import each other in this order only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from records.storage_interface import StorageAwayError


class UserError(Exception):
    """Bad arguments or configuration; the message names the bad value, the allowed ones and how to fix it."""

    exit_code: ClassVar[int] = 2


class StoppedError(UserError):
    """Something outside stopped the sweep, such as a full disk or another driver; the same command may go on later."""

    exit_code: ClassVar[int] = 1


@contextmanager
def user_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Raise exceptions of these kinds as a UserError with the same message. Also a decorator."""
    try:
        yield
    except kinds as error:
        raise (StoppedError if isinstance(error, StorageAwayError) else UserError)(str(error)) from None
