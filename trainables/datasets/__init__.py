"""Datasets with a cue that goes with the label in training and not out of distribution, at any severity.

To add one: one file with a subclass of Dataset, one line here.
"""

from trainables.datasets.dataset import Dataset as Dataset
from trainables.datasets.dataset import Split as Split
from trainables.datasets.dataset import load as load
from trainables.datasets.decoy_digits import DecoyDigits as DecoyDigits
from trainables.datasets.synthetic import Synthetic as Synthetic

DATASETS: dict[str, type[Dataset]] = {
    "decoy_digits": DecoyDigits,
    "synthetic": Synthetic,
}
