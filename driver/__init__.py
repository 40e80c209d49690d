"""Everything that sweep.py does.

run_sweep.py   the story on one page: plan, lease, run, mirror, finish
request.py     the options of the command line, checked before torch and Ray load
plan/          the trials of a sweep: make_plan, plan, declared (from sweep.json), search, space files, cost
upkeep/        lease, stop, tracking and mirror (MLflow), weights, deletion, finish
view/          progress, status, dry run, log and metrics, mlflow_ui
terminal.py    messages of the commands
ray/           start (on this machine), cluster, and run: the pending trials through Ray Tune
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from records.storage_interface import StorageAwayError


class UserError(Exception):
    """Bad arguments or configuration; the message names the bad value, the allowed ones and how to fix it."""

    exit_code: ClassVar[int] = 2


class StoppedError(UserError):
    """An external cause, such as a full disk or another driver; the same command may succeed later."""

    exit_code: ClassVar[int] = 1


@contextmanager
def user_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Raise exceptions of these kinds as a UserError with the same message. Also a decorator."""
    try:
        yield
    except kinds as error:
        raise (StoppedError if isinstance(error, StorageAwayError) else UserError)(str(error)) from None
