"""own_data: a study of a few hundred images of your own."""

from search_spaces.space import Space, factorial
from search_spaces.strengths import GRADIENTS, SMALL_DISCRIMINATOR, strength_grid


def own_data() -> Space:
    """440 trials: for --dataset folder:PATH or manifest:FILE.csv; without it, a rehearsal on synthetic data.

    Seven methods x two strengths (for those with a penalty) x four severities x ten seeds. If one kind of image
    is too rare for severity 1, or the images have no groups, use --set severity=…. Occlusion is off, as it takes three
    times as long as the three attributions together; docs/own_data.md says how to switch it on.
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
        **GRADIENTS,
    )
    description = "for --dataset folder:PATH or manifest:FILE.csv; a rehearsal on synthetic data without it"
    return Space("own_data", description, trials)
