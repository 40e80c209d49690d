"""controls: is it the content of the masks that helps? Each method under correct, wrong and fewer masks."""

from search_spaces.space import Settings, Space, factorial
from search_spaces.strengths import ONE_STRENGTH, SMALL_DISCRIMINATOR

# In addition to correct masks, for methods that use masks.
OF_MASKS: tuple[Settings, ...] = (
    *({"mask_condition": condition} for condition in ("random", "shifted", "other", "ones")),
    {"mask_dilation": 3},
    {"mask_fraction": 0.25},
)
OF_BASELINE: tuple[Settings, ...] = ({"mask_test": True},)


def controls() -> Space:
    """3,960 trials: correct masks against random, shifted, swapped, dilated, fewer and none, on three datasets.

    (6 methods x 7 conditions + the baseline, also with masks at test time) x severities 0 (balanced data), 0.9 and 1 x
    ten seeds = 1,320 trials per dataset. On coloured_digits the cue is inside the masks, so no mask can help.
    """
    trials = factorial(
        seeds=range(10),
        datasets=("synthetic", "digits_on_photos", "coloured_digits"),
        severities=(0.0, 0.9, 1.0),
        strengths=ONE_STRENGTH,
        method_settings=SMALL_DISCRIMINATOR,
        lr=(3e-3,),
        epochs=(8,),
        attribution_images=(32,),
    )
    with_controls = [
        {**settings, **control}
        for settings in trials
        for control in ({}, *(OF_BASELINE if settings["method"] == "baseline" else OF_MASKS))
    ]
    description = "correct masks against random, shifted, swapped, dilated, fewer and none; 1,320 trials per dataset"
    return Space("controls", description, with_controls)
