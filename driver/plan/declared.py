"""The plan that sweep.json declares: its primary and comparisons and, for --sync, which trains nothing, its trials."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from driver.plan.plan import Plan, latest_command
from driver.plan.study import Cell, best_in_words, best_trials, cell_of
from records import Manifest, Primary, columns
from records.store import Record
from search_spaces import SPACES, Space


@dataclass(frozen=True, kw_only=True)
class DeclaredPlan(Plan):
    """All trials of the sweep, of any command. `trials` is empty, since none is trained."""

    manifest: Manifest

    @property
    def planned(self) -> int:
        return self.manifest.planned_trials or 0

    @property
    def datasets(self) -> set[str]:
        return set(self.manifest.fixed)

    def owns(self, record: Record) -> bool:
        return True

    def tuned(self) -> dict[str, str]:
        settings = self.manifest.search.settings if self.manifest.search else {}
        return {name: f"from {low:g} to {high:g}" for name, (low, high) in settings.items()}

    def answer(self, records: Sequence[Record]) -> str | None:
        if self.manifest.search is None:
            return None
        by_cell: dict[Cell, list[Record]] = defaultdict(list)
        for record in records:
            by_cell[cell_of(record)].append(record)
        varied = {}
        for cell, own_records in sorted(by_cell.items()):
            # Each method has its own settings: those that differ between its trials, or all if there is one trial.
            values = {name: {record.get(columns.setting(name)) for record in own_records} for name in self.tuned()}
            varied[cell] = [name for name, levels in values.items() if len(own_records) == 1 or len(levels) > 1]
        return best_in_words(best_trials(records), varied)


def declared_plan(manifest: Manifest) -> DeclaredPlan:
    """The plan of the sweep with this sweep.json."""
    name = str(manifest.space)
    space = SPACES[name]() if name in SPACES else Space(name, "", ())
    _, cut = latest_command(manifest)
    return DeclaredPlan(declared_space(space, manifest), {}, cut=cut, manifest=manifest)


def declared_space(space: Space, manifest: Manifest) -> Space:
    """The space with the primary and the comparisons that its sweep declared first, which the report keeps."""
    return replace(space, primary=manifest.primary or Primary(), comparisons=manifest.comparisons)
