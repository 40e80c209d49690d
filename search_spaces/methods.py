"""methods: which methods beyond the paper's work, and does localisation predict it?"""

from search_spaces.space import Space, factorial
from search_spaces.strengths import SMALL_DISCRIMINATOR, strength_grid


def methods() -> Space:
    """48 trials per method with a penalty, 12 per method without: four strengths, severities 0.9 and 1, six seeds.

    At these two severities training on the cue costs accuracy. Six data seeds are the fewest with an interval.
    """
    # Imported here because it loads torch, which --help and --list-spaces do without.
    from trainables.methods import METHODS

    trials = factorial(
        seeds=range(6),
        datasets=("synthetic",),
        severities=(0.9, 1.0),
        strengths=strength_grid(4, sorted(METHODS.builtin, key=lambda name: (METHODS[name].has_penalty, name))),
        method_settings=SMALL_DISCRIMINATOR,
        lr=(3e-3,),
        epochs=(8,),
        metrics=(("distractor_mass", "energy", "iop", "iot", "iou", "iou_corrected", "pointing"),),
        attribution_images=(32,),
    )
    return Space("methods", "all methods x four strengths, two severities, six seeds", trials)
