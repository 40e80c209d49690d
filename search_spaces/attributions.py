"""attributions: does the answer depend on the attribution and the metric?"""

from search_spaces.space import Space, factorial
from search_spaces.strengths import ONE_STRENGTH


def attributions() -> Space:
    """180 trials: all attributions by all metrics on three methods, severities 0, 0.9 and 1, ten seeds, two datasets.

    Includes the randomisation check. Add --set faithfulness=true for insertion, deletion, infidelity and sensitivity,
    at about four times the cost.
    """
    # Imported here because it loads torch, which --help and --list-spaces do without.
    from trainables.saliency.attribution import ATTRIBUTIONS
    from trainables.saliency.localisation import LOCALISATION, TUNED

    trials = factorial(
        seeds=range(10),
        datasets=("synthetic", "digits_on_photos"),
        severities=(0.0, 0.9, 1.0),
        strengths={method: ONE_STRENGTH[method] for method in ("baseline", "actdiff", "gradmask")},
        lr=(3e-3,),
        epochs=(8,),
        attributions=(tuple(sorted(ATTRIBUTIONS.builtin)),),
        metrics=(tuple(sorted({**LOCALISATION.builtin, **TUNED})),),
        attribution_images=(32,),
        randomisation_check=(True,),
    )
    return Space("attributions", "all attributions by all metrics on three methods; 90 trials per dataset", trials)
