"""The trials that an analysis works on, and everything that happened on the way to them."""

from dataclasses import dataclass, field

import pandas as pd

from analysis.trials.primary import Primary
from records import SweepRecords, columns


@dataclass(frozen=True)
class Trials:
    """Completed trials, one a row, with their exclusions; made by `load_*` or `trials_from_table`."""

    table: pd.DataFrame
    """Columns as in a record. Scores may be missing, but not dataset, severity, method, seed or data_seed."""
    sweep: str
    """The sweep's name, or the file's."""
    source: str
    """Where the trials came from, for people."""
    n_read: int
    """Rows read, before any exclusion."""
    excluded: dict[str, int] = field(default_factory=dict)
    """Rows left out, counted by reason."""
    notes: tuple[str, ...] = ()
    """What a reader must know about the data, one sentence each."""
    missing: tuple[str, ...] = ()
    """What the data did not hold, one sentence each."""
    primary: Primary | None = None
    """The declared primary, if any was declared."""
    free_primary: bool = False
    """Whether another primary may stand in where the declared or default one has no column (tables only)."""
    all_selections: pd.DataFrame | None = None
    """The completed trials of every selection rule, where there are several; `table` then holds those of one."""
    controls: pd.DataFrame | None = None
    """Completed trials whose masks are not right ones, of the analysed selection rule; None where there are none."""
    records: SweepRecords | None = None
    """The sweep's storage, where its maps are; None for a table or a tracking server."""

    @property
    def localisation_columns(self) -> list[str]:
        """Columns that hold a localisation score, in the table's order."""
        return [c for c in self.table.columns if columns.parse_localisation(c) is not None]
