"""The trials that an analysis works on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import pandas as pd

from analysis.numbers import count, listed
from records import Primary as Primary
from records import SweepRecords, columns
from records.manifest import Looks

OUTCOME = columns.performance("test_ood", "auc")
UNKNOWN_DATA_SEEDS = "the table has no column 'data_seed', so it is not known which trials share their images"


class Exclusion(Enum):
    """Why a row is excluded, as a text with a place for details."""

    UNREADABLE_RECORD = "unreadable record"
    NOT_COMPLETED = "{}"
    BAD_FLAG = "{} is neither true nor false"
    STOPPED_EARLY = "stopped early"
    CHOSEN_BY_SEARCH = "chosen by a search"
    ABSENT = "no {}"
    NOT_A_NUMBER = "{} is not a number"
    BAD_SEVERITY = "severity outside 0 to 1"
    UNREADABLE_SETTING = "{} cannot be read"
    OTHER_SETTING = "{}"
    DUPLICATE = "duplicate trial"
    MASK_CONTROL = "control of the masks"
    OTHER_SELECTION = "selection other than {}"


@dataclass(frozen=True)
class Reason:
    """An exclusion and the column, setting or rule that it is about."""

    exclusion: Exclusion
    details: str = ""

    def __str__(self) -> str:
        return self.exclusion.value.format(self.details)


@dataclass(frozen=True, repr=False)
class Trials:
    """Completed trials, one per row, and what was excluded; made by `load_*` or `trials_from_table`."""

    table: pd.DataFrame
    """Columns as in a record. Scores may be missing, but not dataset, severity, method, seed or data_seed."""
    sweep: str
    source: str
    """Where the trials come from, for messages and reports."""
    n_read: int
    reasons: Mapping[Reason, int] = field(default_factory=dict)
    """Number of rows excluded, by reason."""
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """What the data lack, one sentence each."""
    primary: Primary | None = None
    comparisons: tuple[str, ...] = columns.COMPARISONS
    commands: tuple[str, ...] = ()
    looks: Looks | None = None
    """The looks of a sweep that runs until it is answered."""
    data_seeds_known: bool = True
    """Whether there is a column data_seed, which shows which trials share their images."""
    free_primary: bool = False
    """Whether another primary may be used where the declared or default one has no column (tables only)."""
    all_selections: pd.DataFrame | None = None
    """The completed trials of every selection rule, where there are several; `table` then holds those of one."""
    controls: pd.DataFrame | None = None
    """Completed mask controls (trials not trained under the right masks) of the analysed selection rule."""
    records: SweepRecords | None = None
    """The sweep's storage, which holds its maps; None for a table or a tracking server."""

    def __repr__(self) -> str:
        axes = {"dataset": "datasets", "severity": "severities", "method": "methods"}
        axes |= {"data_seed": "data seeds"} if self.data_seeds_known else {}
        levels = [count(self.table[axis].nunique(), axis.replace("_", " "), many) for axis, many in axes.items()]
        return f"<Trials of {self.source}: {len(self.table):,} of {count(self.n_read, 'row')}; {listed(levels)}>"

    @property
    def excluded(self) -> dict[str, int]:
        """Number of rows excluded, by the reason's text."""
        return dict(sorted((str(reason), n) for reason, n in self.reasons.items()))

    @property
    def localisation_columns(self) -> list[str]:
        """Columns that hold a localisation score, in the table's order."""
        return [c for c in self.table.columns if columns.parse_localisation(c) is not None]
