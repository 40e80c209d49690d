"""own_data: a study of one's own images, as far as some hundreds of them can carry it."""

from search_spaces.space import Space, factorial
from search_spaces.strengths import SMALL_DISCRIMINATOR, strength_grid


def own_data() -> Space:
    """Seven methods x two strengths (where there is one) x four severities x ten seeds: 440 trials a dataset.

    Meant for `--dataset folder:PATH` or `--dataset manifest:FILE.csv`; without it the synthetic crosses stand in. Where
    the images are too few of one kind for severity 1, or have no groups, use --set severity=….
    """
    trials = factorial(
        seeds=range(10),
        datasets=("synthetic",),
        severities=(0.0, 0.5, 0.8, 1.0),
        strengths=strength_grid(levels=2),
        method_settings=SMALL_DISCRIMINATOR,
        lr=(1e-3,),
        epochs=(15,),
        batch_size=(16,),
        attribution_images=(32,),
    )
    description = "for --dataset folder:PATH or manifest:FILE.csv; without it, the crosses as a rehearsal"
    return Space("own_data", description, tuple(trials))
