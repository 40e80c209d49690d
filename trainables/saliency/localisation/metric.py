"""What localisation metrics share: their type, the traits that others must know, and where a score is undefined."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from trainables.core.registry import a_function
from trainables.core.shapes import Maps, Masks, PerImage

Metric = Callable[[Tensor, Tensor], Tensor]
"""(maps, masks) -> one score per map."""
TunedMetric = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(maps, masks, validation maps, validation masks) -> one score per map."""
Function = TypeVar("Function", bound=Callable[..., Tensor])


@dataclass(frozen=True)
class Traits:
    """What the trial and the contract tests must know of a metric; the defaults suit most."""

    on_distractor: bool = False
    """True if the metric is given distractor masks in place of masks."""
    lower_is_better: bool = False
    """For built-in metrics. Must agree with `records.columns.LOWER_IS_BETTER`, from which the analysis knows it."""
    lowest: float = 0.0
    """Least possible score; the greatest is 1."""
    constant_map: Callable[[float], float] = lambda area: area
    """Score of a constant map, given the mask's relative area."""
    inverted_map: float = 0.0
    """Greatest score of a map that is positive outside the mask alone."""


def with_traits(traits: Traits) -> Callable[[Function], Function]:
    """Decorator for a metric that does not have the default traits."""

    def attach(metric: Function) -> Function:
        vars(metric)["traits"] = traits
        return metric

    return attach


def traits_of(metric: object) -> Traits:
    """The traits of a metric, the default ones where it declares none."""
    traits: Traits = getattr(metric, "traits", Traits())
    return traits


def a_metric(loaded: object) -> str | None:
    """A check for functions whose scores the analysis can read as larger is better."""
    if traits_of(loaded).lower_is_better:
        return "has the trait lower_is_better, which only built-in metrics can have; return 1 - the score instead"
    return a_function(loaded)


def defined(scores: PerImage, maps: Maps, masks: Masks) -> PerImage:
    """Set scores to NaN where the mask is empty or the map is all zero or not finite: there is nothing to localise."""
    flat = maps.flatten(1)
    usable = masks.flatten(1).any(dim=1) & (flat > 0).any(dim=1) & flat.isfinite().all(dim=1)
    return torch.where(usable, scores, torch.nan)
