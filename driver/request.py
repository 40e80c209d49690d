"""What the command line asks for, checked as far as possible without torch and Ray, which take seconds to load."""

import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from driver import UserError, user_errors
from driver.plan.space_file import check_space
from driver.ray.cluster import TrialResources, check_address
from driver.upkeep.tracking import check_tracking_uri
from records import StorageError, SweepRecords, open_storage
from records.secrets import scrub
from records.store import KeepWeights
from trainables import ConfigurationError
from trainables.core.config import parse_settings


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asks for; each field is the option of that name.

    Raises:
        UserError: a value that no sweep can have.
    """

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
    """None where it was not said: no GPU, and an error where that leaves a cluster's GPUs idle."""
    keep_weights: KeepWeights
    from_sweep: str | None
    assignments: tuple[str, ...]
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
            raise UserError(f"--fresh starts a new sweep, and {other} is for one that exists; leave one of them out")
        # Each is checked where it is computed.
        _ = self.tracking, self.resources, self.overrides

    @property
    def sweep(self) -> str:
        """The sweep's name."""
        return Path(self.space).stem if self.name is None else self.name

    def command(self, sweep: str, cut: bool = True) -> str:
        """The part of the command that says which trials there are, without credentials.

        Args:
            sweep: the name under which they are, which --fresh chooses.
            cut: whether --max-trials, if given, leaves out trials of the space; else the command goes without it.
        """
        options = {
            "--space": self.space,
            "--dataset": self.dataset,
            "--name": None if sweep == Path(self.space).stem else sweep,
            "--max-trials": self.max_trials if cut else None,
            "--from": self.from_sweep,
        }
        chosen = [f"{option} {shlex.quote(str(value))}" for option, value in options.items() if value is not None]
        chosen += [f"--set {shlex.quote(assignment)}" for assignment in self.assignments]
        return scrub(" ".join(["python sweep.py", *chosen]))

    @property
    def local(self) -> bool:
        """Whether trials run on this machine alone."""
        return self.address == "local"

    @cached_property
    def tracking(self) -> str:
        """The tracking URI to use, or none."""
        return check_tracking_uri(self.tracking_uri)

    @cached_property
    def resources(self) -> TrialResources:
        gpus = self.gpus_per_trial
        return TrialResources(self.cpus_per_trial, gpus or 0.0, idle_gpus=gpus is not None)

    @cached_property
    def overrides(self) -> dict[str, Any]:
        """The settings of --set."""
        return parse_settings(self.assignments)
