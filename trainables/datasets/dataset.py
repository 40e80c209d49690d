"""The base of all datasets: five splits of images with labels and masks, from severity and data seed alone."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from records.columns import SPLITS
from trainables.core.batch import parts
from trainables.core.config import Options as BaseOptions
from trainables.core.departure import Departure
from trainables.core.streams import PROCESSOR, numpy_stream
from trainables.datasets.mapped import Images, Pixels, Source, batches, in_memory

Labels = Int[np.ndarray, " images"]
"""Classes from 0, of the images or of their cues."""
Objects = TypeVar("Objects")
UNIT = (0.0, 1.0)
"""The usual pixel values of black and white."""
USUAL_SIDE = 28
"""In pixels."""
MAX_BYTES, HELD_BYTES = 2**29, 2**26
"""Size limit of the cache of `load`, and of the five splits that it reads from disk at once."""


@dataclass(frozen=True, repr=False)
class Split:
    """The images of one split. Each source is a tensor, shared between trials, which must not be written to; or it is
    on disk, and `source[index]` reads its items. Go through them by `batches` of datasets/mapped.py."""

    images: Images
    """Pixel values in `limits`."""
    labels: Int[Tensor, " images"]
    masks: Pixels
    """True inside the region of interest."""
    distractors: Pixels
    """True on the spurious cue; `Dataset.cue_location` says how it relates to the mask."""
    cues: Int[Tensor, " images"]
    """The class that the cue points to; -1 if unknown."""
    limits: tuple[float, float] = UNIT
    """Pixel values of black and white."""
    class_names: tuple[str, ...] = ()
    """Empty if classes have numbers alone."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(source.nbytes for source in self._sources if isinstance(source, Tensor))

    @property
    def all_bytes(self) -> int:
        """Bytes that all of the split would take in memory."""
        return sum(source.shape.numel() * source.dtype.itemsize for source in self._sources)

    @property
    def _sources(self) -> tuple[Source, ...]:
        return self.images, self.masks, self.distractors

    @cached_property
    def masked(self) -> Bool[Tensor, " images"]:
        """Which images have a mask."""
        found = batches((self.masks,), parts(len(self), self.masks.shape, PROCESSOR), PROCESSOR)
        return torch.cat([masks.flatten(1).any(dim=1) for (masks,) in found])

    def in_memory(self) -> "Split":
        images, masks, distractors = map(in_memory, self._sources)
        return replace(self, images=images, masks=masks, distractors=distractors)

    def __repr__(self) -> str:
        return f"<Split of {len(self)} images {list(self.images.shape[1:])}, classes {self.labels.unique().tolist()}>"

    def displayed(self, pixels: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Pixel values of this split, with black as 0 and white as 1."""
        black, white = self.limits
        return (pixels - black) / (white - black)


class Dataset:
    """A recipe for five splits, which depend only on `Options` (its settings), the severity and the data seed.

    Where the dataset can draw either cue, test_id and test_ood (and valid_id and valid_ood) show the same objects.
    """

    Options: ClassVar[type[BaseOptions]] = BaseOptions
    cue_location: ClassVar[Literal["outside", "object", "unknown"]] = "outside"
    """Where the cue is. `outside` the mask: the distractor mask is disjoint from it. On the `object` itself: the
    distractor mask is the mask. `unknown`: the distractor mask is empty."""
    departures: ClassVar[tuple[Departure, ...]] = ()
    """Differences from the dataset's source; those of built-in datasets stand in departures.csv."""
    contract_cases: ClassVar[tuple[Mapping[str, object], ...]] = ({},)
    """Options for contract tests, small enough to take seconds; at least one case."""

    def __init__(self, options: BaseOptions, severity: float, data_seed: int | np.integer):
        self.options = options
        # Random streams are named by the text of a number, and the text of NumPy's numbers differs.
        self.severity = float(severity)
        self.data_seed = int(data_seed)

    @classmethod
    def complete(cls, options: Any) -> Any:
        """Fill in options that depend on files, such as the digest of their content."""
        return options

    @classmethod
    def revision(cls, options: Any) -> int:
        """To be raised when a new recipe changes the images of these options, so that trials get another key."""
        return 1

    @classmethod
    def side(cls, options: Any) -> int:
        """Shorter side of the images in pixels, which sets the blur of maps: up to 41 pixels it is the same."""
        return getattr(options, "image_size", None) or USUAL_SIDE

    @classmethod
    def limits(cls, options: Any) -> tuple[float, float]:
        return UNIT

    @property
    def classes(self) -> int:
        return 2

    @property
    def knows_cues(self) -> bool:
        """Whether every split has the `cues` of its images."""
        return True

    @property
    def objects_recur(self) -> bool:
        """Whether train, valid and test may show the same object by chance, as independent draws do."""
        return False

    def check(self) -> None:
        """Check the data before anything is trained; the message of a ConfigurationError names file and row."""

    def decoded_folders(self) -> Sequence[Path]:
        """The cache folders of the decoded images (trainables/datasets/decoding.py); none if there are no files."""
        return ()

    def notes(self) -> Sequence[str]:
        """Sentences about the data to read before training, whatever the severity and the data seed."""
        return ()

    def splits(self) -> Mapping[str, Split]:
        raise NotImplementedError


class DrawnCueDataset(Dataset, Generic[Objects]):
    """Base of datasets that can draw any cue with any object: a subclass defines `parts` and `with_cues`.

    Objects, and the order in which images agree as severity grows, depend on part and data seed alone.
    """

    stream: ClassVar[str]
    """Prefix of the random streams."""

    def parts(self) -> Mapping[str, tuple[Objects, Labels]]:
        """The objects of train, valid and test without their cues, and their labels."""
        raise NotImplementedError

    def with_cues(self, part: str, objects: Objects, labels: Labels, cues: Labels) -> Split:
        """The images of one part (train, valid or test) with the given cues."""
        raise NotImplementedError

    def splits(self) -> Mapping[str, Split]:
        parts, splits = self.parts(), {}
        for name in SPLITS:
            part, _, shift = name.partition("_")
            objects, labels = parts[part]
            probability = agreement(self.severity, self.classes, shift == "ood")
            cues = assign_cues(labels, self.classes, probability, self.rng("cue", part))
            splits[name] = self.with_cues(part, objects, labels, cues)
        return splits

    def rng(self, use: str, part: str) -> np.random.Generator:
        """The random stream of one use in one part, whatever the severity."""
        return numpy_stream(f"{self.stream} {use}", part, self.data_seed)


def agreement(severity: float, classes: int, out_of_distribution: bool) -> float:
    """Probability that the cue agrees with the label.

    With K classes: 1/K + s (1 − 1/K) in training and in distribution, (1 − s)/K out of distribution.
    """
    return (1 - severity) / classes if out_of_distribution else 1 / classes + severity * (1 - 1 / classes)


def assign_cues(labels: Labels, classes: int, probability: float, rng: np.random.Generator) -> Labels:
    """Assign cues that agree with the label in exactly round(n · probability) of a class's n images.

    Which images agree is random; the others are dealt evenly over the remaining classes. With the same generator state
    a higher probability only adds agreeing images, so that severities and the two test splits are paired.
    """
    cues = labels.copy()
    for label in range(classes):
        members = rng.permutation(np.flatnonzero(labels == label))
        place = np.arange(len(members))
        other = (label + 1 + place % (classes - 1)) % classes
        cues[members] = np.where(place < round(len(members) * probability), label, other)
    return cues


def split_from_arrays(
    images: Shaped[np.ndarray, "images *channels height width"],
    labels: Labels,
    masks: Bool[np.ndarray, "images height width"],
    distractors: Bool[np.ndarray, "images height width"],
    cues: Labels,
) -> Split:
    """Make a Split from numpy arrays. Pixels in both masks belong to the mask. Images may lack the channel axis."""
    return Split(
        images=torch.from_numpy((images if images.ndim == 4 else images[:, None]).astype(np.float32)),
        labels=torch.from_numpy(labels.astype(np.int64)),
        masks=torch.from_numpy(masks)[:, None],
        distractors=torch.from_numpy(distractors & ~masks)[:, None],
        cues=torch.from_numpy(cues.astype(np.int64)),
    )


def load(dataset: type[Dataset], options: BaseOptions, severity: float, data_seed: int) -> Mapping[str, Split]:
    """Load the five splits through a cache of this process, which keeps at least the latest ones."""
    key = (dataset, options, severity, data_seed)
    if key in _CACHE:
        _CACHE.move_to_end(key)
    else:
        # The next splits are probably as large as the latest.
        _shrink(MAX_BYTES - sum(map(_size, list(_CACHE.values())[-1:])))
        splits = dataset(options, severity, data_seed).splits()
        if sum(split.all_bytes for split in splits.values()) <= HELD_BYTES:
            splits = {name: split.in_memory() for name, split in splits.items()}
        _CACHE[key] = MappingProxyType({name: splits[name] for name in SPLITS})
        _shrink(MAX_BYTES, keep=1)
    return _CACHE[key]


def _size(splits: Mapping[str, Split]) -> int:
    return sum(split.nbytes for split in splits.values())


def _shrink(most: int, keep: int = 0) -> None:
    """Forget the splits that were used longest ago until the cache has `most` bytes, or `keep` entries."""
    while len(_CACHE) > keep and sum(map(_size, _CACHE.values())) > most:
        _CACHE.popitem(last=False)


_CACHE: OrderedDict[tuple[type[Dataset], BaseOptions, float, int], Mapping[str, Split]] = OrderedDict()
