"""Datasets with a cue that goes with the label in training and not out of distribution, at any severity.

To add one: one file with a subclass of Dataset, one line here. From another package: docs/extending.md. Images of one's
own need no code: folder:PATH and manifest:FILE.csv (find.py, own/).
"""

from trainables.core.registry import Registry, subclass_of
from trainables.datasets.coloured_digits import ColouredDigits as ColouredDigits
from trainables.datasets.dataset import Dataset as Dataset
from trainables.datasets.dataset import Split as Split
from trainables.datasets.dataset import load as load
from trainables.datasets.decoy_digits import DecoyDigits as DecoyDigits
from trainables.datasets.digits_on_photos import DigitsOnPhotos as DigitsOnPhotos
from trainables.datasets.find import PLACES as PLACES
from trainables.datasets.find import find_dataset as find_dataset
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
DATASETS = Registry("datasets", _BUILT_IN, subclass_of(Dataset))
