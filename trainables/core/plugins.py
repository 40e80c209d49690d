"""The packages that bring a trial's parts, where these are not built in."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from trainables.core.errors import ConfigurationError

if TYPE_CHECKING:
    from trainables.core.config import TrialConfig


def packages_of(config: "TrialConfig") -> str:
    """Each package that brings the trial's method, dataset, model, an attribution or a metric: "a 1.0, b 2.1"."""
    from trainables.datasets import DATASETS
    from trainables.methods import METHODS
    from trainables.models import MODELS
    from trainables.saliency.attribution import ATTRIBUTIONS
    from trainables.saliency.localisation import LOCALISATION

    packages = {
        METHODS.package(config.method),
        DATASETS.package(config.dataset),
        MODELS.package(config.model),
        *map(ATTRIBUTIONS.package, config.attributions),
        *map(LOCALISATION.package, config.metrics),
    }
    return ", ".join(sorted(package for package in packages if package))


def check_installed(packages: str) -> None:
    """Whether this process has what a trial was planned with, "a 1.0, b 2.1".

    Raises:
        ConfigurationError: a package is missing here, or has another version.
    """
    for package in filter(None, packages.split(", ")):
        name, _, planned = package.rpartition(" ")
        try:
            here = version(name) if name else None
        except PackageNotFoundError:
            here = None
        if here != planned:
            raise ConfigurationError(
                f"the trial was planned with package {package!r}, and {platform.node()} has "
                f"{'none' if here is None else f'version {here}'}; install {name}=={planned} on every node "
                "(docs/extending.md)"
            )
