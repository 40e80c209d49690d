"""What sweep.json declares: the primary and comparisons of a plan, and, for --sync, which trains nothing, the plan."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import analysis
from analysis.trials.trials import declared_comparisons, declared_primary
from driver import user_errors
from driver.plan.best_settings import Cell, best_in_words, best_trials, cell_of
from driver.plan.plan import Plan, latest_command
from records import columns
from records.store import Record
from search_spaces import SPACES, Primary, Space


@dataclass(frozen=True, kw_only=True)
class DeclaredPlan(Plan):
    """All trials of the sweep, whichever command made them. `trials` is empty: none is trained."""

    manifest: Mapping[str, Any]

    @property
    def planned(self) -> int:
        return int(self.manifest["planned_trials"])

    @property
    def datasets(self) -> set[str]:
        return set(self.manifest.get("fixed", ()))

    def owns(self, record: Record) -> bool:
        return True

    def tuned(self) -> dict[str, str]:
        settings = self.manifest.get("search", {}).get("settings", {})
        return {name: f"from {low:g} to {high:g}" for name, (low, high) in settings.items()}

    def answer(self, records: Sequence[Record]) -> str | None:
        if "search" not in self.manifest:
            return None
        by_cell: dict[Cell, list[Record]] = defaultdict(list)
        for record in records:
            by_cell[cell_of(record)].append(record)
        return best_in_words(best_trials(records), {cell: self._varied(own) for cell, own in sorted(by_cell.items())})

    def _varied(self, records: Sequence[Record]) -> list[str]:
        """The tuned settings that differ between the trials of a cell: each method has its own; all if there is one."""
        values = {name: {record.get(columns.setting(name)) for record in records} for name in self.tuned()}
        return [name for name, levels in values.items() if len(records) == 1 or len(levels) > 1]


def declared_plan(manifest: Mapping[str, Any]) -> DeclaredPlan:
    """The plan of the sweep with this sweep.json.

    Raises:
        UserError: it declares a bad primary, or bad comparisons.
    """
    name = str(manifest.get("space"))
    space = SPACES[name]() if name in SPACES else Space(name, "", ())
    _, cut = latest_command(manifest)
    return DeclaredPlan(declared_space(space, manifest), {}, cut=cut, manifest=manifest)


@user_errors(analysis.AnalysisError)
def declared_space(space: Space, manifest: Mapping[str, Any]) -> Space:
    """The space with the primary and the comparisons that its sweep declared first, which the report keeps.

    Raises:
        UserError: sweep.json declares a bad primary, or bad comparisons.
    """
    primary = Primary(**asdict(declared_primary(manifest) or Primary()))
    return replace(space, primary=primary, comparisons=declared_comparisons(manifest))
