"""What a search maximises, and the best settings that it found, read from the records of its sweep."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from driver import UserError, user_errors
from records import StorageError, SweepRecords, columns
from records.store import Record
from search_spaces import Settings

SAMPLER = "tpe"
"""The `hp.searcher` of a search's trials: the tree-structured Parzen estimator of Bergstra et al., NeurIPS 2011."""
Cell = tuple[str, float, str]
"""Dataset, severity and method: a search finds settings for each."""


def objective(selection: str, measure: str = "auc") -> str:
    """The column of the validation AUC, on the split that selects the epoch; the ID one for the last epoch."""
    return columns.performance("valid_ood" if selection == "best_valid_ood" else "valid_id", measure)


@dataclass(frozen=True)
class BestSettings:
    """The tuned settings of the best trial per method, dataset and severity of a search."""

    sweep: str
    by_cell: dict[Cell, Settings]

    def of(self, settings: Settings) -> Settings:
        """Those for a trial's method, dataset and severity; for any severity, where only one was searched.

        Raises:
            UserError: the search has no completed trial for them.
        """
        dataset, method = settings["dataset"], settings["method"]
        by_severity = {s: best for (d, s, m), best in self.by_cell.items() if (d, m) == (dataset, method)}
        severity = settings.get("severity")
        suitable = [best for s, best in by_severity.items() if s == severity] or list(by_severity.values())
        if len(suitable) == 1:
            return suitable[0]
        cells = ", ".join(map(describe, sorted(self.by_cell)))
        raise UserError(
            f"--from {self.sweep} has no completed trial of method {method!r} on dataset {dataset!r}"
            f"{f' at severity {severity}' if by_severity else ''}; it has {cells}; "
            "search there first, or restrict this sweep with --dataset, --set method=NAME or --set severity=NUMBER"
        )


def describe(cell: Cell) -> str:
    """For people: "rrr on synthetic at severity 1"."""
    dataset, severity, method = cell
    return f"{method} on {dataset} at severity {severity:g}"


def best_in_words(best: Mapping[Cell, Record], tuned: Mapping[Cell, Sequence[str]]) -> str:
    """The best trial of each cell in `tuned`, with the values of the settings that were tuned there."""
    lines = ["Best settings by validation AUC; --from uses them in another sweep:"]
    for cell, settings in tuned.items():
        where, record = describe(cell), best.get(cell)
        if record is None:
            lines.append(f"{where}: no trial completed")
            continue
        values = ", ".join(f"{setting} {value:.4g}" for setting, value in _values(record, settings).items())
        column = objective(record["selection"])
        lines.append(f"{where}: {values} ({column} {record[column]:.3f})")
    return "\n".join(lines)


def load_best_settings(records: SweepRecords) -> BestSettings:
    """The settings of the best completed trial per cell: highest validation AUC, then lowest validation loss.

    Both on the split that selects the epoch.

    Raises:
        UserError: there is no such sweep, it is not a search, or none of its trials completed.
    """
    with user_errors(StorageError, ValueError):
        manifest, existing = records.manifest(), records.load().records
    if manifest is None:
        raise UserError(f"--from {records.name}: there is no sweep at {records.location}; check the name and --storage")
    if manifest.search is None:
        raise UserError(
            f"--from {records.name}: space {manifest.space!r} of that sweep has no search; "
            "name a sweep of a space with a search, such as paper_search"
        )
    best = best_trials(existing)
    if not best:
        raise UserError(f"--from {records.name}: none of its trials completed; run that search first")
    tuned = manifest.search.settings
    return BestSettings(records.name, {cell: _values(record, tuned) for cell, record in best.items()})


def best_trials(records: Sequence[Record]) -> dict[Cell, Record]:
    """The best completed trial per cell among those that a search chose."""
    best: dict[Cell, Record] = {}
    for record in sorted(records, key=lambda r: str(r["trial_key"])):
        if record["status"] != "completed" or record.get(columns.SEARCHER) != SAMPLER or _score(record) is None:
            continue
        cell = cell_of(record)
        if cell not in best or _rank(record) > _rank(best[cell]):
            best[cell] = record
    return best


def cell_of(record: Record) -> Cell:
    return record["dataset"], record["severity"], record["method"]


def _rank(record: Record) -> tuple[float, float]:
    loss = _score(record, "loss")
    return _score(record) or 0.0, -math.inf if loss is None else -loss


def _score(record: Record, measure: str = "auc") -> float | None:
    value = record.get(objective(record["selection"], measure))
    return None if value is None else float(value)


def _values(record: Record, tuned: Iterable[str]) -> Settings:
    """The tuned settings that the record has; those of other methods and datasets are not in it."""
    named = {setting: record.get(columns.setting(setting)) for setting in tuned}
    return {setting: value for setting, value in named.items() if value is not None}
