"""Mass on the distractor: the share of the map's mass that lies on the spurious cue."""

from jaxtyping import Bool, Float
from torch import Tensor

from trainables.saliency.localisation.energy import energy


def distractor_mass(
    maps: Float[Tensor, "images height width"], distractors: Bool[Tensor, "images height width"]
) -> Float[Tensor, " images"]:
    """sum of A+ on D / sum of A+, in [0, 1], D the distractor mask; unlike all others, lower is better.

    NaN for an empty distractor mask (an image without the cue, or a dataset that does not know where it is) or an
    all-zero map. Chance level: the distractor's relative area.

    Source: ours, after the pointing game's energy; cf. the "wrong reason" measure of Friedrich et al., 2023.
    """
    return energy(maps, distractors)
