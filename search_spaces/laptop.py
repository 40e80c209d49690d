"""laptop: a balanced factorial that can answer the question, in a night on a laptop."""

from operator import itemgetter
from typing import Any

from records import columns
from search_spaces.space import Settings, Space, factorial
from search_spaces.strengths import GRADIENTS, SMALL_DISCRIMINATOR, strength_grid


def laptop() -> Space:
    """6,080 trials: strengths x learning rates x severities x ten data seeds x two trainings, on two datasets.

    Seven methods, four strengths a decade apart for those with a penalty, two learning rates: 38 configurations x 4
    severities x 20 = 3,040 trials per dataset. The first half of the trials has each data seed once. The severities are
    0, without a shift, and those between which the baseline falls from right to wrong.

    Declared before the sweep ran: the primary analysis and the four comparisons below. The only exclusions are those of
    every analysis (failed or diverged trials). Models that give all images the same answer count.
    """
    trials = _on("synthetic", (0.0, 0.9, 0.95, 1.0))
    trials += _on("digits_on_photos", (0.0, 0.5, 0.8, 1.0), image_size=(32,), n_train=(1000,))
    return Space(
        "laptop",
        "strengths x learning rates x severities x ten data seeds x two trainings, 3,040 trials per dataset",
        sorted(trials, key=itemgetter("seed")),
        comparisons=columns.COMPARISONS,
    )


def _on(dataset: str, severities: tuple[float, ...], **settings: Any) -> list[Settings]:
    return factorial(
        seeds=range(10),
        trainings=2,
        datasets=(dataset,),
        severities=severities,
        strengths=strength_grid(levels=4),
        method_settings=SMALL_DISCRIMINATOR,
        lr=(1e-3, 1e-2),
        epochs=(6,),
        selection_warmup=(0,),
        **GRADIENTS,
        **settings,
    )
