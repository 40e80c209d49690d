"""The trials that an analysis works on, and the primary comparison that was declared for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.numbers import count, listed
from records import SweepRecords, columns

OUTCOME = columns.performance("test_ood", "auc")
UNKNOWN_DATA_SEEDS = "the table has no column 'data_seed', so it is not known which trials share their images"
"""Why a statistic is undefined without `Trials.data_seeds_known`."""


@dataclass(frozen=True)
class Primary:
    """The localisation score and the outcome that the verdict is about, declared before the sweep runs."""

    split: str = "test_ood"
    metric: str = "iou"
    attribution: str = "integrated_gradients"
    outcome: str = OUTCOME

    @property
    def column(self) -> str:
        """The localisation score's column."""
        return columns.localisation(self.split, self.metric, self.attribution)


def declared_primary(manifest: Mapping[str, Any] | None) -> Primary | None:
    """The primary in a sweep's manifest, or None where it declares none; omitted parts take their defaults.

    Raises:
        AnalysisError: the declaration is not an object, has an unknown key or an unknown split.
    """
    declared = (manifest or {}).get("primary")
    if declared is None:
        return None
    allowed = tuple(Primary.__dataclass_fields__)
    if not isinstance(declared, Mapping) or not set(declared) <= set(allowed):
        raise AnalysisError(
            f"bad primary {declared!r} in the sweep's sweep.json: give an object with the keys {', '.join(allowed)}"
        )
    primary = Primary(**{key: str(value) for key, value in declared.items()})
    if primary.split not in columns.SCORED_SPLITS:
        raise AnalysisError(
            f"bad primary split {primary.split!r} in the sweep's sweep.json: "
            f"maps are scored on {' and '.join(columns.SCORED_SPLITS)}; name one of them"
        )
    return primary


def declared_comparisons(manifest: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The comparisons in a sweep's manifest; all where it declares none.

    Raises:
        AnalysisError: the declaration is not a list of known comparisons.
    """
    declared = (manifest or {}).get("comparisons")
    if declared is None:
        return columns.COMPARISONS
    if not isinstance(declared, list) or not declared or not set(map(str, declared)) <= set(columns.COMPARISONS):
        raise AnalysisError(
            f"bad comparisons {declared!r} in the sweep's sweep.json: give a list of some of "
            f"{', '.join(columns.COMPARISONS)}"
        )
    return tuple(name for name in columns.COMPARISONS if name in declared)


def declared_commands(manifest: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The commands in a sweep's manifest that made its trials.

    Raises:
        AnalysisError: they are not a list.
    """
    declared = (manifest or {}).get("commands", [])
    if not isinstance(declared, list):
        raise AnalysisError(f"bad commands {declared!r} in the sweep's sweep.json: give a list, or remove the key")
    return tuple(map(str, declared))


@dataclass(frozen=True, repr=False)
class Trials:
    """Completed trials, one per row, and what was excluded; made by `load_*` or `trials_from_table`."""

    table: pd.DataFrame
    """Columns as in a record. Scores may be missing, but not dataset, severity, method, seed or data_seed."""
    sweep: str
    """Name of the sweep, or of the file."""
    source: str
    """Where the trials come from, for messages and reports."""
    n_read: int
    """Number of rows read, before any exclusion."""
    excluded: dict[str, int] = field(default_factory=dict)
    """Number of rows excluded, by reason."""
    notes: tuple[str, ...] = ()
    """What a reader must know about the data, one sentence each."""
    missing: tuple[str, ...] = ()
    """What the data do not hold, one sentence each."""
    primary: Primary | None = None
    """The declared primary; None where none was declared."""
    comparisons: tuple[str, ...] = columns.COMPARISONS
    """The declared comparisons."""
    commands: tuple[str, ...] = ()
    """The commands that made the trials, as far as they are known."""
    data_seeds_known: bool = True
    """Whether the data say which trials share a data seed; without a column they do not."""
    free_primary: bool = False
    """Whether another primary may be used where the declared or default one has no column (tables only)."""
    all_selections: pd.DataFrame | None = None
    """The completed trials of every selection rule, where there are several; `table` then holds those of one."""
    controls: pd.DataFrame | None = None
    """Completed mask controls (trials not trained under the right masks) of the analysed selection rule; None where
    there are none."""
    records: SweepRecords | None = None
    """The sweep's storage, which holds its maps; None for a table or a tracking server."""

    def __repr__(self) -> str:
        axes = {"dataset": "datasets", "severity": "severities", "method": "methods"}
        axes |= {"data_seed": "data seeds"} if self.data_seeds_known else {}
        levels = [count(self.table[axis].nunique(), axis.replace("_", " "), many) for axis, many in axes.items()]
        return f"<Trials of {self.source}: {len(self.table):,} of {count(self.n_read, 'row')}; {listed(levels)}>"

    @property
    def localisation_columns(self) -> list[str]:
        """Columns that hold a localisation score, in the table's order."""
        return [c for c in self.table.columns if columns.parse_localisation(c) is not None]
