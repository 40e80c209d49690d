"""What a search found: the best settings of each method on each dataset and severity, from the records of its sweep."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from driver.errors import UserError
from driver.plan.objective import SAMPLER, objective
from records import StorageError, SweepRecords, columns
from records.store import Record
from search_spaces import Settings

Place = tuple[str, float, str]
"""What a search finds settings for: dataset, severity and method."""


@dataclass(frozen=True)
class FoundSettings:
    """The tuned settings of the best trial of each method on each dataset and severity that was searched."""

    sweep: str
    best: dict[Place, Settings]

    def of(self, settings: Settings) -> Settings:
        """Those for a trial's method, dataset and severity; at another severity, where one alone was searched.

        Raises:
            UserError: the search has no completed trial that they could be taken from.
        """
        dataset, method = settings["dataset"], settings["method"]
        severities = {s: found for (d, s, m), found in self.best.items() if (d, m) == (dataset, method)}
        if (severity := settings.get("severity")) in severities:
            return severities[severity]
        if len(severities) == 1:
            return next(iter(severities.values()))
        has = ", ".join(map(in_words, sorted(self.best)))
        raise UserError(
            f"--from {self.sweep} has no completed trial of method {method!r} on dataset {dataset!r}"
            f"{f' at severity {severity:g}' if severities else ''}; it has {has}; "
            "search for it there, or restrict this sweep with --dataset, --set method=NAME or --set severity=NUMBER"
        )


def in_words(place: Place) -> str:
    """ "rrr on synthetic at severity 1"."""
    dataset, severity, method = place
    return f"{method} on {dataset} at severity {severity:g}"


def found_settings(records: SweepRecords) -> FoundSettings:
    """The best completed trial per place of a search: by validation AUC, among equals by validation loss.

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


def best_trials(records: list[Record]) -> dict[Place, Record]:
    """Per place the completed, search-chosen trial with the highest objective."""
    best: dict[Place, Record] = {}
    for record in sorted(records, key=lambda r: str(r["trial_key"])):
        if record["status"] != "completed" or record.get(columns.SEARCHER) != SAMPLER or _auc(record) is None:
            continue
        place = record["dataset"], record["severity"], record["method"]
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
