"""The base of the public X-ray sets: rows from published tables, images from the user's folder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from jaxtyping import Int
from pydantic import Field

from records.columns import SPLITS
from trainables.core.errors import ConfigurationError, Problems
from trainables.core.files import Files, Root, join
from trainables.core.streams import numpy_stream
from trainables.datasets.dataset import UNIT, Split, agreement
from trainables.datasets.mapped import derived
from trainables.datasets.own.images import SIZES, OwnImages, OwnImagesOptions
from trainables.datasets.own.sampling import Index, cell_counts, count_cells, draw, largest
from trainables.datasets.own.table import Row

SIDE = 1024
"""Height and width in pixels of the images on which the boxes of NIH and RSNA were drawn."""
PUBLISHED = (-1024.0, 1024.0)
"""Pixel values of black and white in the paper, which are those of torchxrayvision."""


class XrayOptions(OwnImagesOptions):
    root: Root = Field("", description="folder, or s3://bucket/prefix, with the images; not part of a trial's key")
    image_size: int = Field(128, ge=8, le=1024, description="side in pixels of images and masks after resizing")
    channels: Literal[1, 3] = Field(1, description="1: grey; 3: grey repeated, for networks that need three channels")
    split_by: Literal["patient", "image", "published"] = Field(
        "patient",
        description="patient: no patient in two splits; image: images dealt one by one; published: the paper's "
        "image-level split, whose sizes depend on the severity",
    )
    subset: bool = Field(False, description="use the images that are there if the published tables list more")
    per_cell: int | None = Field(
        None, ge=0, description="images of each group and label; default: as many as the rarest has; 0: all"
    )
    pixels: Literal["unit", "published"] = Field(
        "unit", description="unit: in [0, 1], 0 black; published: in [-1024, 1024], 0 mid-grey, as in the paper"
    )


class Xray(OwnImages):
    """A public X-ray set whose images the user has. A subclass defines `candidates` and `folders`."""

    Options: ClassVar[type[XrayOptions]] = XrayOptions
    options: XrayOptions
    needs: ClassVar[str]
    """Required content of root, for messages."""

    @classmethod
    def candidates(cls, options: Any) -> Sequence[Row]:
        """All images that the published tables list; `image` is the file's name without suffix."""
        raise NotImplementedError

    @classmethod
    def folders(cls) -> Mapping[str, Sequence[str]]:
        """For each group the folders below root that may have its images."""
        raise NotImplementedError

    @classmethod
    def location(cls, options: Any) -> str:
        if not options.root:
            raise ConfigurationError(
                f"dataset {cls.__module__.rsplit('.', 1)[-1]!r} needs root=FOLDER with {cls.needs}"
            )
        return options.root

    @classmethod
    def read_rows(cls, options: Any, files: Files, problems: Problems) -> list[Row]:
        root = cls.location(options)
        locations: dict[tuple[str | None, str], str] = {}
        for group, folders in cls.folders().items():
            for folder in (join(root, name) for name in reversed(folders)):
                for name in sorted(files.names(folder)):
                    locations[group, name.rpartition(".")[0] or name] = join(folder, name)
        rows = list(cls.candidates(options))
        if options.subset:
            rows = [row for row in rows if (row.group, row.image) in locations]
        rows = chosen(rows, options.per_cell)
        missing = [row for row in rows if (row.group, row.image) not in locations]
        if missing or not rows:
            what = f"{len(missing)} of {len(rows)} images" if rows else "all images"
            example = f", {missing[0].image} ({missing[0].where}) among them" if missing else ""
            problems.append(
                f"{what} are not in {root}{example}; it must hold {cls.needs}. Set subset=true to use those that are "
                "there"
            )
            return []
        subjects = [f"{row.group} {row.subject}" if options.split_by == "patient" else None for row in rows]
        return [
            replace(row, image=locations[row.group, row.image], subject=subject)
            for row, subject in zip(rows, subjects, strict=True)
        ]

    @classmethod
    def limits(cls, options: Any) -> tuple[float, float]:
        return PUBLISHED if options.pixels == "published" else UNIT

    def splits(self) -> Mapping[str, Split]:
        splits = super().splits()
        if self.options.pixels == "unit":
            return splits
        # In this order their values are torchxrayvision's to the last bit.
        return {
            name: replace(
                split, images=derived(lambda images: images.mul(2).sub_(1).mul_(1024), split.images), limits=PUBLISHED
            )
            for name, split in splits.items()
        }

    def index(self) -> dict[str, Index]:
        return self._published() if self.options.split_by == "published" else super().index()

    def _published(self) -> dict[str, Index]:
        """The paper's train, valid_ood and test_ood; valid_id and test_id are drawn from the latter two.

        Groups and labels alternate, so that maps are scored on as many images of each group.
        """
        self._refuse((*SIZES, "max_severity"), "with split_by=published, whose sizes are those of the paper's split")
        labels, cues = self.meaning().labels, self.meaning().cues
        inside = agreement(self.severity, 2, out_of_distribution=False)
        parts = published_split(cues, labels, inside, self.data_seed)
        result = {"train": parts["train"], "valid_ood": parts["valid"], "test_ood": parts["test"]}
        for pool in ("valid", "test"):
            members = numpy_stream("published order", pool, self.data_seed).permutation(np.sort(parts[pool]))
            per_class = largest(count_cells(labels[members], cues[members], 2), [inside])
            if not per_class:
                raise ConfigurationError(
                    f"split_by=published leaves no in-distribution images for {pool}_id at severity {self.severity:g}; "
                    "lower the severity (the paper's is 0.8), add images, or set split_by=patient"
                )
            result[f"{pool}_id"] = draw(members, labels[members], cues[members], cell_counts(per_class, 2, inside))
        return {name: alternating(result[name], labels * 2 + cues) for name in SPLITS}


def chosen(rows: Sequence[Row], per_cell: int | None) -> list[Row]:
    """Choose as many rows of each group and label as the rarest has, or `per_cell`; 0 for all."""
    cells: dict[tuple[str, str], list[int]] = {}
    for i, row in enumerate(rows):
        cells.setdefault((row.group or "", row.label), []).append(i)
    if per_cell == 0 or not cells:
        return list(rows)
    (group, label), members = min(cells.items(), key=lambda item: len(item[1]))
    if per_cell is not None and per_cell > len(members):
        raise ConfigurationError(
            f"per_cell={per_cell}, but group {group!r} with label {label!r} has {len(members)} images; lower per_cell, "
            "or leave it out to use as many as the rarest cell has"
        )
    size = len(members) if per_cell is None else per_cell
    kept = [numpy_stream("xray cell", *cell).permutation(members)[:size] for cell, members in cells.items()]
    return [rows[i] for i in np.sort(np.concatenate(kept))]


def alternating(index: Index, cells: Int[np.ndarray, " rows"]) -> Index:
    """Order `index`: the first image of each cell, the second of each, and so on; each cell's in ascending order."""
    table = pd.DataFrame({"index": np.sort(index)}).assign(cell=lambda t: cells[t["index"]])
    table["place"] = table.groupby("cell").cumcount()
    return table.sort_values(["place", "cell"])["index"].to_numpy()


def published_split(sites: Index, labels: Index, ratio: float, seed: int) -> dict[str, np.ndarray]:
    """Indices of train, valid and test: of each cell of site and label as many as the smallest has, dealt by `ratio`.

    With n images in a cell, train has ratio · n of site 0's negatives and of site 1's positives, (1 − ratio) · n of the
    other two; valid has half as many with the two exchanged, test has the rest. A patient may be in several parts.

    Draws in the published order: the indices are those of `torchxrayvision.datasets.CovariateDataset`.
    """
    rng = np.random.RandomState(seed)
    cells = ((0, 0), (0, 1), (1, 0), (1, 1))
    undealt = [np.flatnonzero((sites == site) & (labels == label)) for site, label in cells]
    n = min(map(len, undealt))
    undealt = [rng.choice(members, n, replace=False) for members in undealt]
    parts = {}
    for name, share, agreeing, other in (("train", 0.5, ratio, 1 - ratio), ("valid", 0.25, 1 - ratio, ratio)):
        # The order of the products is the published one: int() cuts off.
        counts = [int(n * (agreeing if site == label else other) * share * 2) for site, label in cells]
        drawn = [rng.choice(members, count, replace=False) for members, count in zip(undealt, counts, strict=True)]
        undealt = list(map(np.setdiff1d, undealt, drawn))
        parts[name] = np.concatenate(drawn)
    return {**parts, "test": np.concatenate(undealt)}


def published_rows(name: str, columns: Sequence[str]) -> Iterator[tuple[str, *tuple[Any, ...]]]:
    """For each row of the table `name` of torchxrayvision its place (the header is row 1), then its cells."""
    # Importing the package would load its models and their dependencies, so only its files are looked up.
    package = find_spec("torchxrayvision")
    if package is None or not package.submodule_search_locations:
        raise ConfigurationError("the X-ray sets need the tables of torchxrayvision; pip install torchxrayvision")
    path = Path(package.submodule_search_locations[0]) / "data" / name
    if not path.is_file():
        raise ConfigurationError(f"this torchxrayvision has no table {name}; pip install 'torchxrayvision>=1.5.7'")
    table = pd.read_csv(path, usecols=list(columns), index_col=False)[list(columns)]
    return ((f"{name} row {i}", *row) for i, row in enumerate(table.itertuples(index=False, name=None), start=2))
