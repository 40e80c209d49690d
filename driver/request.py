"""The checked options of the command line. The checks need neither torch nor Ray, which take seconds to load."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from driver import UserError, user_errors
from driver.plan.space_file import check_space
from driver.ray.cluster import TrialResources, check_address
from driver.upkeep.tracking import check_tracking_uri
from records import StorageError, SweepRecords, open_storage
from records.secrets import scrub
from records.storage import default_location
from records.store import KeepWeights
from trainables import ConfigurationError
from trainables.core.config import parse_settings


@dataclass(frozen=True, kw_only=True)
class Request:
    """A sweep as the command line describes it. Each field is the option of the same name in sweep.py."""

    space: str
    dataset: str | None
    name: str | None
    storage: str
    tracking_uri: str | None
    address: str
    max_trials: int | None
    concurrency: int | None
    cpus_per_trial: float
    gpus_per_trial: float | None
    """None without the option: trials use no GPU, and a cluster whose GPUs would stay idle is an error."""
    keep_weights: KeepWeights
    from_sweep: str | None
    until: Literal["answered"] | None
    assignments: Sequence[str]
    dry_run: bool
    status: bool
    sync: bool
    fresh: bool

    @user_errors(ConfigurationError, StorageError)
    def __post_init__(self) -> None:
        check_space(self.space)
        check_address(self.address)
        SweepRecords(open_storage(self.storage), self.sweep)
        if self.fresh and (self.sync or self.status):
            other = "--sync" if self.sync else "--status"
            raise UserError(f"--fresh starts a new sweep, and {other} needs an existing one; leave one of them out")
        # Computing these properties checks them.
        _ = self.tracking, self.resources, self.overrides

    @property
    def sweep(self) -> str:
        return Path(self.space).stem if self.name is None else self.name

    @cached_property
    def tracking(self) -> str:
        return check_tracking_uri(self.tracking_uri)

    @cached_property
    def resources(self) -> TrialResources:
        gpus = self.gpus_per_trial
        return TrialResources(self.cpus_per_trial, gpus or 0.0, idle_gpus=gpus is not None)

    @cached_property
    def overrides(self) -> dict[str, Any]:
        return parse_settings(self.assignments)

    def command(self, sweep: str, cut: bool = True) -> str:
        """The command with the options that determine the trials, without credentials.

        The sweep's name may be one that --fresh chose. --max-trials is omitted unless it leaves out trials (`cut`).
        """
        options = {
            "--space": self.space,
            "--dataset": self.dataset,
            "--name": None if sweep == Path(self.space).stem else sweep,
            "--max-trials": self.max_trials if cut else None,
            "--from": self.from_sweep,
            "--until": self.until,
        }
        words = [f"{option} {shlex.quote(scrub(str(value)))}" for option, value in options.items() if value is not None]
        words += [f"--set {shlex.quote(scrub(assignment))}" for assignment in self.assignments]
        return " ".join(["python sweep.py", *words])

    @property
    def storage_option(self) -> str:
        """The end of a command that names this storage; empty for the default storage."""
        return "" if self.storage == default_location() else f" --storage {shlex.quote(self.storage)}"

    def report_command(self, sweep: str) -> str:
        return f"python -m analysis --sweep {sweep}{self.storage_option}"

    def sync_command(self, sweep: str) -> str:
        tracking = "" if self.tracking_uri is None else f" --tracking-uri {shlex.quote(scrub(self.tracking_uri))}"
        return f"python sweep.py --name {sweep}{self.storage_option}{tracking} --sync"
