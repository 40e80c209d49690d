"""A dataset by its name: one that is registered, or one's own images at a place."""

from trainables.core.errors import ConfigurationError
from trainables.datasets.dataset import Dataset
from trainables.datasets.folder import Folder
from trainables.datasets.manifest import Manifest
from trainables.datasets.own.files import absolute
from trainables.datasets.own.images import OwnImages

PLACES: dict[str, type[OwnImages]] = {
    "folder": Folder,
    "manifest": Manifest,
}
"""Datasets of one's own images: the name is one of these, a colon and where they are."""


def find_dataset(name: str) -> type[Dataset]:
    """The dataset that is registered as `name`, or the one at the place of folder:PATH or manifest:FILE.csv.

    Raises:
        ConfigurationError: there is none of that name.
    """
    from trainables.datasets import DATASETS

    kind, colon, place = name.partition(":")
    if colon and kind in PLACES and place:
        return PLACES[kind].at(absolute(place))
    if name in DATASETS:
        return DATASETS[name]
    raise ConfigurationError(
        f"unknown dataset {name!r}; choose from {', '.join(sorted(DATASETS))}, folder:PATH or manifest:FILE.csv; to "
        "add one, register it in trainables/datasets/__init__.py, or install a package that brings it "
        "(docs/extending.md)"
    )


def full_name(name: str) -> str:
    """`name` with an absolute path, so that it means the same in every process."""
    kind, colon, place = name.partition(":")
    return f"{kind}:{absolute(place)}" if colon and kind in PLACES and place else name


def kind_of(name: str) -> str:
    """`name` without a place: what a trial's key has, as the content stands in its options."""
    kind, colon, _ = name.partition(":")
    return kind if colon and kind in PLACES else name
