"""Which images a split has: classes and groups, pools without common subjects, and severity by resampling."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Int

from trainables.core.errors import ConfigurationError
from trainables.core.streams import numpy_stream
from trainables.datasets.dataset import assign_cues
from trainables.datasets.own.decoded import Decoded
from trainables.datasets.own.table import Row

Cells = Int[np.ndarray, "classes cues"]
Index = Int[np.ndarray, " _"]


@dataclass(frozen=True, eq=False)
class Meaning:
    """What labels and groups mean, and the class and cue of each row."""

    class_names: tuple[str, ...]
    groups: dict[str, int]
    """The class that each group points to; empty if the table has no groups."""
    labels: Int[np.ndarray, " rows"]
    cues: Int[np.ndarray, " rows"]
    """The class that each row's group points to; -1 if there are no groups."""

    def group_names(self) -> list[str]:
        """For each class the groups that point to it, as text."""
        classes = range(len(self.class_names))
        return [" or ".join(repr(group) for group, cue in self.groups.items() if cue == c) for c in classes]


@lru_cache(maxsize=4)
def find_meaning(decoded: Decoded, class_names: str, cue_groups: str) -> Meaning:
    """Assign classes to labels and to groups; `class_names` and `cue_groups` as in the options."""
    rows, table = decoded.rows, decoded.rows[0].table
    label_counts = Counter(row.label for row in rows)
    present = sorted(label_counts, key=_number_or_text)
    names = tuple(_listed(class_names)) or tuple(present)
    if len(present) < 2:
        raise ConfigurationError(f"{table}: label is {present[0]!r} in every row; at least two classes are needed")
    if sorted(names) != sorted(present):
        raise ConfigurationError(f"class_names {class_names!r} must name each of the labels once: {', '.join(present)}")
    group_counts = Counter(row.group for row in rows if row.group is not None)
    groups = sorted(group_counts, key=_number_or_text)
    if len(groups) == 1:
        raise ConfigurationError(
            f"{table}: group is {groups[0]!r} in every row; give what brings the cue (site, view, device), or remove "
            "the column and give splits that already differ"
        )
    if groups and not cue_groups and len(groups) != len(names):
        raise ConfigurationError(
            f"{table} has {len(groups)} groups ({_counted(group_counts, groups)}) and {len(names)} labels "
            f"({_counted(label_counts, names)}); correct the misspelt ones, or set the label that goes with each group "
            f"in training: cue_groups={groups[0]}={names[0]},…"
        )
    paired = _pairs(cue_groups, groups, names) if groups and cue_groups else {g: i for i, g in enumerate(groups)}
    return Meaning(
        class_names=names,
        groups=paired,
        labels=np.array([names.index(row.label) for row in rows], dtype=np.int64),
        cues=np.array([paired.get(row.group or "", -1) for row in rows], dtype=np.int64),
    )


def _counted(counts: Mapping[str, int], names: Iterable[str]) -> str:
    return ", ".join(f"{counts[name]} x {name}" for name in names)


def _pairs(text: str, groups: list[str], labels: tuple[str, ...]) -> dict[str, int]:
    pairs = {}
    for pair in _listed(text):
        group, equals, label = pair.rpartition("=")
        pairs[group if equals else pair] = label if equals else ""
    wrong = [f"{group}={label}" for group, label in pairs.items() if group not in groups or label not in labels]
    wrong += [f"group {group} is missing" for group in groups if group not in pairs]
    wrong += [f"no group goes with {label}" for label in labels if label not in pairs.values()]
    if wrong:
        raise ConfigurationError(
            f"bad cue_groups {text!r} ({wrong[0]}); write GROUP=LABEL for each of the groups {', '.join(groups)}, so "
            f"that each of the labels {', '.join(labels)} has one"
        )
    return {group: labels.index(pairs[group]) for group in groups}


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _number_or_text(value: str) -> tuple[int, float, str]:
    return (0, float(value), value) if value.isdecimal() else (1, 0.0, value)


def deal(rows: Sequence[Row], shares: Mapping[str, float], data_seed: int) -> dict[str, Index]:
    """Deal the indices of `rows` to parts with these shares, by subject, stratified by its first (group, label)."""
    subjects: dict[tuple[str | None, int], list[int]] = {}
    for i, row in enumerate(rows):
        subjects.setdefault((row.subject, -1) if row.subject is not None else (None, i), []).append(i)
    cells: dict[tuple[str, str], list[list[int]]] = {}
    for members in subjects.values():
        first = rows[members[0]]
        cells.setdefault((first.group or "", first.label), []).append(members)
    part_of_row = np.empty(len(rows), dtype=np.int64)
    ends = np.cumsum(list(shares.values()))
    for cell, subjects_of_cell in sorted(cells.items()):
        total, dealt = sum(map(len, subjects_of_cell)), 0
        for place in numpy_stream("own deal", *cell, data_seed).permutation(len(subjects_of_cell)):
            members = subjects_of_cell[place]
            # A subject goes where its middle image falls.
            middle = (dealt + len(members) / 2) / total
            part_of_row[members] = np.searchsorted(ends, middle).clip(max=len(ends) - 1)
            dealt += len(members)
    return {name: np.flatnonzero(part_of_row == part) for part, name in enumerate(shares)}


def check_apart(meaning: Meaning) -> None:
    """Refuse labels and groups that coincide, as no severity can be drawn from them."""
    pairs = np.unique(np.stack([meaning.labels, meaning.cues], axis=1), axis=0)
    if len(pairs) == len(meaning.class_names) == len(np.unique(pairs[:, 1])):
        names, groups = meaning.class_names, meaning.group_names()
        every = ", ".join(f"every image of label {names[label]!r} has group {groups[cue]}" for label, cue in pairs)
        raise ConfigurationError(
            f"label and group coincide: {every}. Every label needs images with every group. Add such images, or name "
            "another column as the group, or remove it and give splits (train, valid, test) that already differ"
        )


def dominant_subject(rows: Sequence[Row], cell_rows: Sequence[Row], share: float) -> str:
    """A sentence about a subject with more than `share` of all rows, else of the cell's, as it goes to one split."""
    if any(row.split is not None for row in rows):
        return ""
    for counted, what in ((rows, "all"), (cell_rows, "these")):
        counts = Counter(row.subject for row in counted if row.subject is not None)
        subject, n = counts.most_common(1)[0] if counts else ("", 0)
        if n > max(1, share * len(counted)):
            return (
                f" of other subjects. Subject {subject!r} has {n} of {what} {len(counted)} images, and all images of a "
                "subject go to one split; use fewer of them, or correct the column 'subject'"
            )
    return ""


def count_cells(labels: Index, cues: Index, classes: int) -> Cells:
    return np.bincount(labels * classes + cues, minlength=classes**2).reshape(classes, classes)


def cell_counts(per_class: int, classes: int, probability: float) -> Cells:
    """Number of images of each label and cue that `assign_cues` makes of `per_class` images of each label."""
    labels = np.repeat(np.arange(classes), per_class)
    return count_cells(labels, assign_cues(labels, classes, probability, np.random.default_rng(0)), classes)


def largest(cells: Cells, probabilities: Sequence[float], multiple: int = 1) -> int:
    """Most images per class, a multiple of `multiple`, that the cells allow at each probability of agreement."""

    def too_large(size: int) -> bool:
        return any((cell_counts(size * multiple, len(cells), p) > cells).any() for p in probabilities)

    # Cells are monotone in the size.
    return multiple * (bisect_left(range(int(cells.sum(axis=1).min()) // multiple + 1), True, key=too_large) - 1)


def draw(members: Index, labels: Index, cues: Index, counts: Cells) -> Index:
    """Draw the first `counts` members of each cell, so that splits of a pool share as many as they can."""
    chosen = np.zeros(len(members), dtype=bool)
    for (label, cue), count in np.ndenumerate(counts):
        chosen[np.flatnonzero((labels == label) & (cues == cue))[:count]] = True
    return members[chosen]
