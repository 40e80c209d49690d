"""Which images a split has: classes and groups, pools without common subjects, and severity by resampling."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from records.columns import SPLITS
from trainables.core.errors import ConfigurationError
from trainables.core.streams import numpy_stream
from trainables.datasets.dataset import assign_cues
from trainables.datasets.own.table import POOLS, Problems, Row


@dataclass(frozen=True)
class Meaning:
    """Labels in the order of their classes, and each group's class; None if the table has no groups."""

    labels: tuple[str, ...]
    groups: dict[str, int] | None

    def classes_of(self, rows: Sequence[Row]) -> Int[np.ndarray, " rows"]:
        """Each row's class."""
        return np.array([self.labels.index(row.label) for row in rows], dtype=np.int64)

    def cues_of(self, rows: Sequence[Row]) -> Int[np.ndarray, " rows"]:
        """The class that each row's group points to; -1 if there are no groups."""
        if self.groups is None:
            return np.full(len(rows), -1, dtype=np.int64)
        return np.array([self.groups[row.group or ""] for row in rows], dtype=np.int64)

    def group_names(self) -> list[str]:
        """For each class the groups that point to it, as text."""
        groups = self.groups or {}
        return [" or ".join(repr(group) for group, cue in groups.items() if cue == c) for c in range(len(self.labels))]


def find_meaning(rows: Sequence[Row], class_names: str, cue_groups: str) -> Meaning:
    """Assign classes to labels and to groups.

    Args:
        rows: of the table.
        class_names: labels in the order of their classes, comma-separated; "" to sort them, whole numbers by value.
        cue_groups: group=label pairs, comma-separated; "" to pair the first group with the first label and so on.

    Raises:
        ConfigurationError: there are fewer than two labels, names that the table does not have, one group for all rows,
            or more groups than labels without `cue_groups`.
    """
    where = rows[0].where.rsplit(" row ", 1)[0]
    present = sorted({row.label for row in rows}, key=_number_or_text)
    labels = tuple(_listed(class_names)) or tuple(present)
    if len(present) < 2:
        raise ConfigurationError(f"{where}: label is {present[0]!r} in every row; at least two classes are needed")
    if set(labels) != set(present) or len(labels) != len(present):
        raise ConfigurationError(f"class_names {class_names!r} must name each of the labels once: {', '.join(present)}")
    groups = Counter(row.group for row in rows if row.group is not None)
    if not groups:
        return Meaning(labels, None)
    if len(groups) == 1:
        raise ConfigurationError(
            f"{where}: group is {next(iter(groups))!r} in every row, so no cue can go with the label; give what brings "
            "the cue (site, view, device), or remove the column and give splits that already differ"
        )
    names = sorted(groups, key=_number_or_text)
    if cue_groups:
        return Meaning(labels, _pairs(cue_groups, names, labels))
    if len(groups) != len(labels):
        counts = Counter(row.label for row in rows)
        raise ConfigurationError(
            f"{where} has {len(groups)} groups ({_counted(groups, names)}) and {len(labels)} labels "
            f"({_counted(counts, labels)}); correct the ones that are misspelt, or set the label that goes with each "
            f"group in training, for example cue_groups={names[0]}={labels[0]},…"
        )
    return Meaning(labels, {group: i for i, group in enumerate(names)})


def _counted(counts: Mapping[str, int], names: Sequence[str]) -> str:
    return ", ".join(f"{counts[name]} x {name}" for name in names)


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


def deal(rows: Sequence[Row], shares: Mapping[str, float], data_seed: int) -> dict[str, Int[np.ndarray, " part"]]:
    """Deal the indices of `rows` to parts with given shares of the images, all images of a subject to the same part.

    Subjects are stratified by the (group, label) cell of their first image, so that every part gets its share of each
    cell. A row without a subject is a subject of its own.

    Args:
        rows: at least one.
        shares: of each part in [0, 1], summing to 1.
        data_seed: >= 0.
    """
    subjects: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        subjects.setdefault(f"s{row.subject}" if row.subject is not None else f"row {i}", []).append(i)
    kinds: dict[tuple[str, str], list[list[int]]] = {}
    for members in subjects.values():
        first = rows[members[0]]
        kinds.setdefault((first.group or "", first.label), []).append(members)
    parts: dict[str, list[int]] = {name: [] for name in shares}
    ends = np.cumsum(list(shares.values()))
    for kind in sorted(kinds):
        members_of = kinds[kind]
        total, dealt = sum(map(len, members_of)), 0
        for place in numpy_stream("own deal", *kind, data_seed).permutation(len(members_of)):
            members = members_of[place]
            # A subject goes where its middle image falls.
            part = int(np.searchsorted(ends, (dealt + len(members) / 2) / total).clip(max=len(ends) - 1))
            parts[list(shares)[part]].extend(members)
            dealt += len(members)
    return {name: np.array(sorted(index), dtype=np.int64) for name, index in parts.items()}


def check_apart(labels: Int[np.ndarray, " rows"], cues: Int[np.ndarray, " rows"], meaning: Meaning) -> None:
    """Check that some images have another group than most of their label.

    Raises:
        ConfigurationError: label and group coincide, so that no severity can be drawn.
    """
    pairs = sorted(set(zip(labels.tolist(), cues.tolist(), strict=True)))
    if len(pairs) == len(meaning.labels) == len({cue for _, cue in pairs}):
        names = meaning.group_names()
        every = ", ".join(
            f"every image of label {meaning.labels[label]!r} has group {names[cue]}" for label, cue in pairs
        )
        raise ConfigurationError(
            f"label and group coincide: {every}. So nothing tells one from the other, and no severity can be drawn: "
            "each needs images of every label with every group. Add such images, or name another column as the group, "
            "or remove it and give splits (train, valid, test) that already differ"
        )


def dominant_subject(rows: Sequence[Row], such: Sequence[Row], share: float) -> str:
    """A sentence about the subject that has more than `share` of all rows, else of the rows `such`; "" if none has.

    As a subject goes to one split, the others then lack its images.
    """
    if any(row.split is not None for row in rows):
        return ""
    for part, what in ((rows, "all"), (such, "these")):
        counts = Counter(row.subject for row in part if row.subject is not None)
        subject, n = counts.most_common(1)[0] if counts else ("", 0)
        if n > max(1, share * len(part)):
            return (
                f" of other subjects. Subject {subject!r} has {n} of {what} {len(part)} images ({n / len(part):.0%}), "
                "and all images of a subject go to one split; use fewer of them, or correct the column 'subject' if "
                "they are of several people"
            )
    return ""


def check_subjects(rows: Sequence[Row], problems: Problems) -> None:
    """Report subjects with images in two of the given splits: what is learned of them would leak."""
    seen: dict[str, Row] = {}
    for row in rows:
        if row.subject is None or row.split is None:
            continue
        first = seen.setdefault(row.subject, row)
        if first.split != row.split:
            problems.append(
                f"subject {row.subject!r} is in split {first.split!r} ({first.where}) and in {row.split!r} "
                f"({row.where}); put all its images into one split"
            )
            seen[row.subject] = row


def check_splits(rows: Sequence[Row], problems: Problems) -> None:
    """Check that all rows have a split or none: train, valid and test, or without groups the five themselves."""
    if all(row.split is None for row in rows):
        return
    grouped = any(row.group is not None for row in rows)
    for row in rows:
        if row.split not in POOLS and (grouped or row.split not in SPLITS):
            also = "" if grouped else f", or {', '.join(SPLITS)}"
            problems.append(f"{row.where} has split {row.split!r}; allowed are {', '.join(POOLS)}{also}")
    present = {row.split for row in rows}
    if not problems and present not in (set(POOLS), set(SPLITS)):
        where = rows[0].where.rsplit(" row ", 1)[0]
        missing = [name for name in (SPLITS if present - set(POOLS) else POOLS) if name not in present]
        problems.append(
            f"{where} has no images of split {', '.join(missing) or 'valid_id'}; add them, or leave split out"
        )


def cell_counts(per_class: int, classes: int, probability: float) -> Int[np.ndarray, "classes cues"]:
    """Images of each label and cue: round(per_class · probability) of a label's `per_class` have the agreeing cue.

    The others are dealt evenly over the other cues, by `assign_cues`.
    """
    labels = np.repeat(np.arange(classes), per_class)
    cues = assign_cues(labels, classes, probability, np.random.default_rng(0))
    return np.bincount(labels * classes + cues, minlength=classes**2).reshape(classes, classes)


def largest(cells: Int[np.ndarray, "classes cues"], probabilities: Sequence[float], multiple: int = 1) -> int:
    """Most images per class that the cells of label and cue allow at each of these probabilities of agreement.

    Args:
        cells: available images of each label and cue.
        probabilities: in [0, 1].
        multiple: of which the size is one. A multiple of the number of classes makes all cells equal at severity 0, so
            that cue and label are independent.
    """

    def too_large(size: int) -> bool:
        return any((cell_counts(size * multiple, len(cells), p) > cells).any() for p in probabilities)

    # Cells are monotone in the size.
    return multiple * (bisect_left(range(int(cells.sum(axis=1).min()) // multiple + 1), True, key=too_large) - 1)


def draw(
    members: Int[np.ndarray, " pool"],
    labels: Int[np.ndarray, " pool"],
    cues: Int[np.ndarray, " pool"],
    counts: Int[np.ndarray, "classes cues"],
) -> Int[np.ndarray, " drawn"]:
    """Draw the first `counts` members of each cell, in the order of `members`.

    With one random order of a pool, a stronger association only adds agreeing images and removes others, and the splits
    in and out of distribution share as many images as they can: at severity 0 they are the same.
    """
    chosen: Bool[np.ndarray, " pool"] = np.zeros(len(members), dtype=bool)
    for (label, cue), count in np.ndenumerate(counts):
        cell = np.flatnonzero((labels == label) & (cues == cue))
        chosen[cell[:count]] = True
    return members[chosen]
