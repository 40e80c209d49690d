"""The primary comparison: the one pair of columns that the verdict is about."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.errors import AnalysisError
from records import columns

OUTCOME = columns.performance("test_ood", "auc")


@dataclass(frozen=True)
class Primary:
    """Which localisation score is held against which outcome; declared before the sweep runs."""

    split: str = "test_ood"
    metric: str = "iou"
    attribution: str = "integrated_gradients"
    outcome: str = OUTCOME

    @property
    def column(self) -> str:
        """The localisation score's column."""
        return columns.localisation(self.split, self.metric, self.attribution)


def declared_primary(manifest: Mapping[str, Any] | None) -> Primary | None:
    """The primary in a sweep's manifest, or None where it declares none; absent parts take their default.

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
