"""The image-level split of the paper's X-ray sets."""

import numpy as np
from jaxtyping import Int

CELLS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""(site, label), in the order in which the published program draws them."""
TRAIN, VALID = 0.5, 0.25


def published_split(
    sites: Int[np.ndarray, " images"], labels: Int[np.ndarray, " images"], ratio: float, seed: int
) -> dict[str, Int[np.ndarray, " part"]]:
    """Indices of train, valid and test: as many of each cell of site and label as the smallest has, dealt by `ratio`.

    With n images a cell, train has ratio · n of site 0's negatives and of site 1's positives, (1 − ratio) · n of the
    other two; valid has half as many with the two exchanged, test the rest. Images are dealt, not patients: one
    patient's may be in several parts.

    Draws from numpy's legacy generator in the published order, so that the indices are those of
    `torchxrayvision.datasets.CovariateDataset` with the same sites, labels, ratio and seed.

    Args:
        sites: 0 or 1.
        labels: 0 or 1.
        ratio: agreement of site and label in train, in [0, 1]; 0.5 + severity / 2.
        seed: of the draws.

    Source: Viviano et al., ICLR 2021.
    """
    rng = np.random.RandomState(seed)
    members = {cell: np.flatnonzero((sites == cell[0]) & (labels == cell[1])) for cell in CELLS}
    n = min(map(len, members.values()))
    left = {cell: rng.choice(members[cell], n, replace=False) for cell in CELLS}
    parts = {}
    for name, share, of_agreeing in (("train", TRAIN, ratio), ("valid", VALID, 1 - ratio)):
        other = 1 - ratio if name == "train" else ratio
        # The order of the products is the published one: int() cuts off.
        counts = {cell: int(n * (of_agreeing if cell[0] == cell[1] else other) * share * 2) for cell in CELLS}
        drawn = {cell: rng.choice(left[cell], counts[cell], replace=False) for cell in CELLS}
        left = {cell: np.setdiff1d(left[cell], drawn[cell]) for cell in CELLS}
        parts[name] = np.concatenate([drawn[cell] for cell in CELLS])
    parts["test"] = np.concatenate([left[cell] for cell in CELLS])
    return {name: index.astype(np.int64) for name, index in parts.items()}
