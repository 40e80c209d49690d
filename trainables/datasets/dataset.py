"""What every dataset is: five splits of images with labels and masks, from severity and data seed alone."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from records.columns import SPLITS
from trainables.core.config import Options as BaseOptions


@dataclass(frozen=True)
class Split:
    """The images of one split, all in memory. Tensors are shared between trials and must not be written to."""

    images: Float[Tensor, "images channels height width"]
    """Pixel values in [0, 1]."""
    labels: Int[Tensor, " images"]
    """Class indices from 0."""
    masks: Bool[Tensor, "images 1 height width"]
    """True inside the region of interest."""
    distractors: Bool[Tensor, "images 1 height width"]
    """True on the spurious cue; what `Dataset.cue_location` says of it holds."""
    cues: Int[Tensor, " images"]
    """The class that the cue points to; -1 where it is not known."""

    def __len__(self) -> int:
        return len(self.labels)


class Dataset:
    """A recipe for five splits. A class attribute `Options` declares the settings that the dataset alone has.

    Data depend on the dataset, its options, the severity and the data seed alone, so that every method and every
    training seed sees the same images. test_id and test_ood (and valid_id and valid_ood) show the same underlying
    images and differ in the cue alone.
    """

    Options: ClassVar[type[BaseOptions]] = BaseOptions
    cue_location: ClassVar[Literal["outside", "object", "unknown"]] = "outside"
    """Where the cue is. `outside` the mask: the distractor mask is disjoint from it. On the `object` itself: the
    distractor mask is the mask. `unknown`: the distractor mask is empty."""
    objects_recur: ClassVar[bool] = False
    """True if train, valid and test may show the same object by chance, as generated ones can."""
    contract_cases: ClassVar[tuple[Mapping[str, object], ...]] = ({},)
    """Options under which contract tests build the dataset, small enough for seconds; at least one case."""

    def __init__(self, options: BaseOptions, severity: float, data_seed: int):
        """
        Args:
            options: an instance of the class's `Options`.
            severity: s in [0, 1]; see `agreement`.
            data_seed: >= 0.
        """
        self.options = options
        self.severity = severity
        self.data_seed = data_seed

    @classmethod
    def complete(cls, options: Any) -> Any:
        """`options` with what is found from files, such as the digest of their content, filled in."""
        return options

    @property
    def classes(self) -> int:
        """Number of classes."""
        return 2

    @property
    def knows_cues(self) -> bool:
        """Whether it knows the cue of each image: what it has to say in every split's `cues`."""
        return True

    def check(self) -> None:
        """Look at the data before anything is trained; nothing to do for data that are generated.

        Raises:
            ConfigurationError: data that cannot be used, with file and row.
        """

    def splits(self) -> Mapping[str, Split]:
        """The five splits by name."""
        raise NotImplementedError


def agreement(severity: float, classes: int, out_of_distribution: bool) -> float:
    """Probability that the cue agrees with the label.

    With K classes: 1/K + s (1 − 1/K) in training and in distribution, (1 − s)/K out of distribution. At s = 0 cue
    and label are independent everywhere; at s = 1 the cue always agrees in training and never out of distribution.
    """
    if out_of_distribution:
        return (1 - severity) / classes
    return 1 / classes + severity * (1 - 1 / classes)


def assign_cues(
    labels: Int[np.ndarray, " images"], classes: int, probability: float, rng: np.random.Generator
) -> Int[np.ndarray, " images"]:
    """The class that each image's cue points to: its own in exactly round(n · probability) images of each class.

    The others are dealt evenly over the remaining classes. Counting replaces independent draws so that the
    association is the declared one in every sample; which images agree is random. With the same generator state a
    higher probability only adds agreeing images, so severities and the two test splits are paired.
    """
    cues = labels.copy()
    for label in range(classes):
        members = rng.permutation(np.flatnonzero(labels == label))
        place = np.arange(len(members))
        other = (label + 1 + place % (classes - 1)) % classes
        cues[members] = np.where(place < round(len(members) * probability), label, other)
    return cues


def split_from_arrays(
    images: Float[np.ndarray, "images *channels height width"],
    labels: Int[np.ndarray, " images"],
    masks: Bool[np.ndarray, "images height width"],
    distractors: Bool[np.ndarray, "images height width"],
    cues: Int[np.ndarray, " images"],
) -> Split:
    """A Split from numpy arrays; the mask gives way to nothing, the distractor to the mask.

    Images without an axis of channels have one channel.
    """
    with_channels = images if images.ndim == 4 else images[:, None]
    return Split(
        images=torch.from_numpy(with_channels.astype(np.float32)),
        labels=torch.from_numpy(labels.astype(np.int64)),
        masks=torch.from_numpy(masks)[:, None],
        distractors=torch.from_numpy(distractors & ~masks)[:, None],
        cues=torch.from_numpy(cues.astype(np.int64)),
    )


def load(dataset: type[Dataset], options: BaseOptions, severity: float, data_seed: int) -> Mapping[str, Split]:
    """The five splits, from a small per-process cache: trials of a sweep often share their data.

    Args:
        dataset: the recipe.
        options: an instance of its `Options`.
        severity: s in [0, 1].
        data_seed: >= 0.
    """
    key = (dataset, options, severity, data_seed)
    if key in _KEPT:
        _KEPT.move_to_end(key)
    else:
        splits = dataset(options, severity, data_seed).splits()
        _KEPT[key] = MappingProxyType({name: splits[name] for name in SPLITS})
        while len(_KEPT) > 1 and (len(_KEPT) > MOST_KEPT or sum(map(_size, _KEPT.values())) > MOST_BYTES):
            _KEPT.popitem(last=False)
    return _KEPT[key]


MOST_KEPT = 8
MOST_BYTES = 2 * 2**30
"""Of all that a process keeps; the splits in use are kept whatever their size."""
_KEPT: OrderedDict[tuple[type[Dataset], BaseOptions, float, int], Mapping[str, Split]] = OrderedDict()


def _size(splits: Mapping[str, Split]) -> int:
    return sum(part.nbytes for split in splits.values() for part in (split.images, split.masks, split.distractors))
