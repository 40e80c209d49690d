"""Datasets whose cue goes with the label in training and not out of distribution, at any severity.

To add one: a subclass of Dataset in a file, its import and one line here. From another package: docs/extending.md.
"""

import os
from functools import cache
from pathlib import Path

from trainables.core.departure import read_departures
from trainables.core.errors import ConfigurationError, did_you_mean, shortened
from trainables.core.files import absolute
from trainables.core.registry import Registry, subclass_of
from trainables.datasets.dataset import Dataset as Dataset
from trainables.datasets.dataset import Split as Split
from trainables.datasets.dataset import load as load
from trainables.datasets.digits_on_photos import DigitsOnPhotos as DigitsOnPhotos
from trainables.datasets.mnist import ColouredDigits as ColouredDigits
from trainables.datasets.mnist import DecoyDigits as DecoyDigits
from trainables.datasets.own.images import OwnImages
from trainables.datasets.own.places import Folder, Manifest
from trainables.datasets.synthetic import Synthetic as Synthetic
from trainables.datasets.waterbirds import Waterbirds as Waterbirds
from trainables.datasets.xray.rsna_view import RSNAView as RSNAView
from trainables.datasets.xray.xray_site import XraySite as XraySite

_BUILT_IN: dict[str, type[Dataset]] = {
    "coloured_digits": ColouredDigits,
    "decoy_digits": DecoyDigits,
    "digits_on_photos": DigitsOnPhotos,
    "rsna_view": RSNAView,
    "synthetic": Synthetic,
    "waterbirds": Waterbirds,
    "xray_site": XraySite,
}
for _name, _departures in read_departures(Path(__file__).with_name("departures.csv")).items():
    _BUILT_IN[_name].departures = _departures
DATASETS = Registry("datasets", _BUILT_IN, subclass_of(Dataset))
PLACES: dict[str, type[OwnImages]] = {"folder": Folder, "manifest": Manifest}
"""A user's own images: the name of such a dataset is one of these, a colon and the place of the images."""


def find_dataset(name: str) -> type[Dataset]:
    """Look up a dataset: a name in DATASETS, folder:PATH or manifest:FILE.csv; ConfigurationError if there is none."""
    kind, place = _kind_and_place(name)
    if place:
        return _at(kind, absolute(place))
    if name in DATASETS:
        return DATASETS[name]
    hint = did_you_mean(name, DATASETS)
    if "/" in name or os.path.exists(name):
        hint = f"did you mean '{'manifest' if name.endswith('.csv') else 'folder'}:{name}'? "
    raise ConfigurationError(
        f"unknown dataset {shortened(name)}; {hint}choose from {', '.join(sorted(DATASETS))}, folder:PATH or "
        "manifest:FILE.csv; to add one, register it in trainables/datasets/__init__.py, or install a package that "
        "provides it (docs/extending.md)"
    )


@cache
def _at(kind: str, place: str) -> type[OwnImages]:
    """The same class for the same place, so that it can be a dictionary key."""
    base = PLACES[kind]
    return type(base.__name__, (base,), {"place": place, "__doc__": base.__doc__, "__module__": base.__module__})


def full_name(name: str) -> str:
    """`name` with an absolute path, so that it means the same in every process."""
    kind, place = _kind_and_place(name)
    return f"{kind}:{absolute(place)}" if place else name


def _kind_and_place(name: str) -> tuple[str, str]:
    """("folder", PATH) or ("manifest", FILE.csv) for a user's own images; (name, "") for any other dataset."""
    kind, _, place = name.partition(":")
    return (kind, place) if kind in PLACES and place else (name, "")
