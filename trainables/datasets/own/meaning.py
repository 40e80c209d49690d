"""What labels and groups stand for: classes, and the class that each group's cue points to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from trainables.core.errors import ConfigurationError
from trainables.datasets.own.table import Row


@dataclass(frozen=True)
class Meaning:
    """Labels in the order of their classes, and each group's class; None where the table has no groups."""

    labels: tuple[str, ...]
    groups: dict[str, int] | None

    def classes_of(self, rows: Sequence[Row]) -> Int[np.ndarray, " rows"]:
        """Each row's class."""
        return np.array([self.labels.index(row.label) for row in rows], dtype=np.int64)

    def cues_of(self, rows: Sequence[Row]) -> Int[np.ndarray, " rows"]:
        """The class that each row's group points to; -1 where there are no groups."""
        if self.groups is None:
            return np.full(len(rows), -1, dtype=np.int64)
        return np.array([self.groups[row.group or ""] for row in rows], dtype=np.int64)

    def group_names(self) -> list[str]:
        """For each class the groups that point to it, as text."""
        groups = self.groups or {}
        return [" or ".join(repr(group) for group, cue in groups.items() if cue == c) for c in range(len(self.labels))]


def find_meaning(rows: Sequence[Row], class_names: str, cue_groups: str) -> Meaning:
    """
    Args:
        rows: of the table.
        class_names: labels in their order, comma-separated; "" for sorted, whole numbers by value.
        cue_groups: group=label pairs, comma-separated; "" for first group with first label.

    Raises:
        ConfigurationError: fewer than two labels; names that are not those of the table; a group that is the same in
            every row, or groups of which it is not clear what they point to.
    """
    where = rows[0].where.rsplit(" row ", 1)[0]
    found = sorted({row.label for row in rows}, key=_number_or_text)
    labels = tuple(_listed(class_names)) or tuple(found)
    if len(found) < 2:
        raise ConfigurationError(f"{where}: label is {found[0]!r} in every row; at least two classes are needed")
    if set(labels) != set(found) or len(labels) != len(found):
        raise ConfigurationError(f"class_names {class_names!r} must name each of the labels once: {', '.join(found)}")
    groups = sorted({row.group for row in rows if row.group is not None}, key=_number_or_text)
    if not groups:
        return Meaning(labels, None)
    if len(groups) == 1:
        raise ConfigurationError(
            f"{where}: group is {groups[0]!r} in every row, so no cue can go with the label; give what varies with the "
            "cue (site, view, device), or leave the column out and give splits that differ as they are"
        )
    return Meaning(labels, _pairs(cue_groups, groups, labels) if cue_groups else _in_order(where, groups, labels))


def _in_order(where: str, groups: list[str], labels: tuple[str, ...]) -> dict[str, int]:
    if len(groups) != len(labels):
        raise ConfigurationError(
            f"{where} has {len(groups)} groups ({', '.join(groups)}) and {len(labels)} labels ({', '.join(labels)}); "
            f"say which label each group goes with in training, for example cue_groups={groups[0]}={labels[0]},…"
        )
    return {group: i for i, group in enumerate(groups)}


def _pairs(text: str, groups: list[str], labels: tuple[str, ...]) -> dict[str, int]:
    pairs = {}
    for part in _listed(text):
        group, _, label = part.rpartition("=")
        pairs[group or label] = label if group else ""
    wrong = [f"{group}={label}" for group, label in pairs.items() if group not in groups or label not in labels]
    missing = [group for group in groups if group not in pairs]
    unused = [label for label in labels if label not in pairs.values()]
    if wrong or missing or unused:
        what = wrong[0] if wrong else f"group {missing[0]} is missing" if missing else f"no group goes with {unused[0]}"
        raise ConfigurationError(
            f"bad cue_groups {text!r} ({what}); write GROUP=LABEL for each of the groups {', '.join(groups)}, so that "
            f"each of the labels {', '.join(labels)} has one"
        )
    return {group: labels.index(pairs[group]) for group in groups}


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _number_or_text(value: str) -> tuple[int, float, str]:
    return (0, float(value), value) if value.isdecimal() else (1, 0.0, value)
