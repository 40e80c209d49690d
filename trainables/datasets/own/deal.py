"""Parts of a dataset that share no subject, made from the data seed."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

from trainables.core.streams import numpy_stream
from trainables.datasets.own.problems import Problems
from trainables.datasets.own.table import Row


def deal(rows: Sequence[Row], shares: Mapping[str, float], data_seed: int) -> dict[str, Int[np.ndarray, " part"]]:
    """Indices of `rows`, dealt to parts in the given shares of images, all images of a subject to one part.

    Subjects are dealt apart for each kind, so that every part has its share of each (group, label) cell: a kind are
    the subjects whose first image is of one cell. A row without a subject is a subject of its own.

    Args:
        rows: at least one.
        shares: of each part in [0, 1], together 1.
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


def check_subjects(rows: Sequence[Row], problems: Problems) -> None:
    """Refuse a subject whose images stand in two of the given splits: what is learned of it would leak."""
    seen: dict[str, Row] = {}
    for row in rows:
        if row.subject is None or row.split is None:
            continue
        first = seen.setdefault(row.subject, row)
        if first.split != row.split:
            problems.add(
                f"subject {row.subject!r} is in split {first.split!r} ({first.where}) and in {row.split!r} "
                f"({row.where}); put all its images into one split"
            )
            seen[row.subject] = row
