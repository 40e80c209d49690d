"""Metrics of a map's mass: the share that lies in the mask, or on the distractor."""

from trainables.saliency.localisation.metric import Traits, defined, with_traits
from trainables.saliency.shapes import Maps, Masks, Scores


def energy(maps: Maps, masks: Masks) -> Scores:
    """sum of A+ in M / sum of A+, in [0, 1], A+ the positive part of the map. Also called relevance mass accuracy.

    NaN for an empty mask or an all-zero map. Chance level: the mask's relative area.

    Source: Wang et al., CVPR workshops 2020 (Score-CAM), section 4.3; Arras et al., Information Fusion 2022.
    """
    mass = maps.clamp(min=0).double()
    inside = (mass * masks).flatten(1).sum(dim=1) / mass.flatten(1).sum(dim=1)
    return defined(inside.to(maps.dtype), maps, masks)


@with_traits(Traits(on_distractor=True, lower_is_better=True))
def distractor_mass(maps: Maps, distractors: Masks) -> Scores:
    """sum of A+ on D / sum of A+, in [0, 1], D the distractor mask; unlike all others, lower is better.

    NaN for an empty distractor mask (an image without the cue, or a dataset that does not know where it is) or an
    all-zero map. Chance level: the distractor's relative area.

    Source: ours, after the pointing game's energy; cf. the "wrong reason" measure of Friedrich et al., 2023.
    """
    return energy(maps, distractors)
