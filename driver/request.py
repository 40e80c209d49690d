"""What the command line asks for, checked as far as possible without torch and Ray, which take seconds to load."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from driver import user_errors
from driver.plan.space_file import check_space
from driver.ray.cluster import TrialResources, check_address
from driver.upkeep.tracking import check_tracking_uri
from records import StorageError, SweepRecords, open_storage
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
    gpus_per_trial: float
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
        # Each is checked where it is computed.
        _ = self.tracking, self.resources, self.overrides

    @property
    def sweep(self) -> str:
        """The sweep's name."""
        return self.name or Path(self.space).stem

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
        return TrialResources(self.cpus_per_trial, self.gpus_per_trial)

    @cached_property
    def overrides(self) -> dict[str, Any]:
        """The settings of --set."""
        return parse_settings(self.assignments)
