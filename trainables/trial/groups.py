"""Groups of images: those of one label whose cue points to one class. K classes make up to K^2 of them."""

from collections.abc import Mapping

from trainables.core.errors import ConfigurationError
from trainables.datasets.dataset import Split


def cues_are_known(splits: Mapping[str, Split]) -> bool:
    """Whether every image of these splits has a cue; -1 stands for one that is not known."""
    return all(bool((split.cues >= 0).all()) for split in splits.values())


def check_cues(method: str, dataset: str, known: bool) -> None:
    """For a method that needs cues: does the dataset know them?

    Args:
        method: its name.
        dataset: its name.
        known: whether it knows the cue of each image.

    Raises:
        ConfigurationError: it does not.
    """
    if not known:
        raise ConfigurationError(
            f"method {method!r} needs the group of every image (label and cue), and dataset {dataset!r} does not know "
            "the cues; give the table a column 'group' (site, view, device), or choose a method that needs no groups"
        )
