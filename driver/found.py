"""What a search found: the best settings of each method on each dataset, from the records of its sweep."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from driver.errors import UserError
from driver.objective import SAMPLER, objective
from records import StorageError, SweepRecords, columns
from records.store import Record
from search_spaces import Settings


@dataclass(frozen=True)
class FoundSettings:
    """The tuned settings of the best trial of each method on each dataset."""

    sweep: str
    best: dict[tuple[str, str], Settings]
    """By (dataset, method)."""

    def of(self, settings: Settings) -> Settings:
        """Those for a trial's method and dataset.

        Raises:
            UserError: the search has no completed trial of that method on that dataset.
        """
        dataset, method = settings["dataset"], settings["method"]
        if (dataset, method) not in self.best:
            has = ", ".join(f"{m} on {d}" for d, m in sorted(self.best))
            raise UserError(
                f"--from {self.sweep} has no completed trial of method {method!r} on dataset {dataset!r}; "
                f"it has {has}; search for it there, or restrict this sweep with --dataset or --set method=NAME"
            )
        return self.best[dataset, method]


def found_settings(records: SweepRecords) -> FoundSettings:
    """The best completed trial per (dataset, method) of a search: by validation AUC, among equals by validation loss.

    Both are on the split that the trial's epoch was selected by.

    Raises:
        UserError: there is no such sweep, it is no search, or none of its trials completed.
    """
    try:
        manifest, loaded = records.manifest(), records.load().records
    except (StorageError, ValueError) as error:
        raise UserError(str(error)) from None
    if manifest is None:
        raise UserError(f"--from {records.name}: there is no sweep at {records.location}; check the name and --storage")
    if "search" not in manifest:
        raise UserError(
            f"--from {records.name}: that sweep ran the space {manifest.get('space')!r}, which searches for nothing; "
            "name a sweep of a space with a search, such as paper_search"
        )
    found = best_trials(loaded)
    if not found:
        raise UserError(f"--from {records.name}: none of its trials completed; run that search first")
    tuned = manifest["search"]["settings"]
    return FoundSettings(records.name, {place: _values(record, tuned) for place, record in found.items()})


def best_trials(records: list[Record]) -> dict[tuple[str, str], Record]:
    """Per (dataset, method) the completed, search-chosen trial with the highest objective."""
    best: dict[tuple[str, str], Record] = {}
    for record in sorted(records, key=lambda r: str(r["trial_key"])):
        if record["status"] != "completed" or record.get(columns.SEARCHER) != SAMPLER or _auc(record) is None:
            continue
        place = record["dataset"], record["method"]
        if place not in best or _goodness(record) > _goodness(best[place]):
            best[place] = record
    return best


def _goodness(record: Record) -> tuple[float, float]:
    loss = record.get(objective(record["selection"], "loss"))
    return _auc(record) or 0.0, -math.inf if loss is None else -loss


def _auc(record: Record) -> float | None:
    value = record.get(objective(record["selection"]))
    return None if value is None else float(value)


def _values(record: Record, tuned: Mapping[str, object]) -> Settings:
    """What was tuned for this method on this dataset; other methods' settings are not in its record."""
    named = {setting: record.get(columns.setting(setting)) for setting in tuned}
    return {setting: value for setting, value in named.items() if value is not None}
