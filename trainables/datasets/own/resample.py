"""Severity by resampling: how many images of each cue and label a split has, and which."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from trainables.core.errors import ConfigurationError
from trainables.datasets.dataset import agreement, assign_cues


def cell_counts(per_class: int, classes: int, probability: float) -> Int[np.ndarray, "classes cues"]:
    """Images of each label and cue: of `per_class` of a label round(per_class · probability) have the cue that agrees.

    The others are dealt evenly over the other cues, by `assign_cues`.
    """
    labels = np.repeat(np.arange(classes), per_class)
    cues = assign_cues(labels, classes, probability, np.random.default_rng(0))
    return np.bincount(labels * classes + cues, minlength=classes**2).reshape(classes, classes)


def largest(cells: Int[np.ndarray, "classes cues"], severity: float, out_of_distribution: Sequence[bool]) -> int:
    """The most images a class that every severity up to `severity` can have, in and out of distribution as asked.

    A multiple of the number of classes, so that at severity 0 all cells are equal and cue and label independent.

    Args:
        cells: images there are of each label and cue.
        severity: the greatest one.
        out_of_distribution: which kinds of split are drawn from these cells: (False,) for training, (False, True)
            for validation and test.
    """
    classes = len(cells)
    # Cells grow or shrink evenly with the severity, so its two ends decide; and with the size, so halving finds it.
    probabilities = [agreement(s, classes, ood) for s in (0.0, severity) for ood in out_of_distribution]
    low, high = 0, int(cells.sum(axis=1).min()) // classes
    while low < high:
        middle = (low + high + 1) // 2
        if any((cell_counts(middle * classes, classes, p) > cells).any() for p in probabilities):
            high = middle - 1
        else:
            low = middle
    return low * classes


def draw(
    members: Int[np.ndarray, " pool"],
    labels: Int[np.ndarray, " pool"],
    cues: Int[np.ndarray, " pool"],
    counts: Int[np.ndarray, "classes cues"],
) -> Int[np.ndarray, " drawn"]:
    """The first so many of each cell, in the order of `members`.

    With one random order of a pool, a stronger association only adds agreeing images and takes others away, and the
    splits in and out of distribution share all the images that they can: at severity 0 they are the same.
    """
    chosen: Bool[np.ndarray, " pool"] = np.zeros(len(members), dtype=bool)
    for (label, cue), count in np.ndenumerate(counts):
        cell = np.flatnonzero((labels == label) & (cues == cue))
        chosen[cell[:count]] = True
    return members[chosen]


def check_cells(
    cells: Int[np.ndarray, "classes cues"],
    per_class: int,
    most: int,
    pool: str,
    names: tuple[Sequence[str], Sequence[str]],
    probabilities: Sequence[float],
) -> None:
    """Refuse sizes that the cells of a pool cannot give.

    Raises:
        ConfigurationError: a cell has too few images; the message names it, has and needs, and the mend.
    """
    for probability in probabilities:
        needed = cell_counts(per_class, len(cells), probability)
        size = f"set n_{pool} to at most {most * len(cells)}, " if most else ""
        for label, cue in zip(*np.nonzero(needed > cells), strict=True):
            raise ConfigurationError(
                f"the {pool} images of label {names[0][label]!r} with group {names[1][cue]} are too few: "
                f"{cells[label, cue]}, where {needed[label, cue]} are needed for n_{pool}={per_class * len(cells)}; "
                f"{size}lower max_severity, or add such images"
            )
