"""The model-randomisation check: does a map change when the model has random weights?

Source: Adebayo et al., NeurIPS 2018, section 3: rank correlation of absolute maps, and SSIM.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import rankdata

from trainables.core.config import TrialConfig
from trainables.core.shapes import Maps, PerImage
from trainables.core.streams import stream_seed
from trainables.models import Classifier
from trainables.models.initialise import initialise
from trainables.saliency.attribution.attribution import Attribution

FAILS_ABOVE = 0.5
"""Mean rank correlation above which an attribution fails. Ours: the source judges by eye and sets no threshold."""


def random_model(model: Classifier, config: TrialConfig) -> Classifier:
    """A copy of `model`, on its device and in evaluation mode, with new random weights.

    The end of the source's cascade. The weights have their own random stream: they are not the initial weights.
    """
    images, seed = model.made_for, stream_seed("random weights", config.seed)
    random = initialise(config.model, images.channels, images.classes, seed, images.side, images.limits)
    return random.to(model.head.weight.device).eval()


def rank_correlation(maps: Maps, others: Maps) -> PerImage:
    """Spearman's rho of each pair of maps over the pixels that are not zero in both, in [−1, 1].

    NaN if fewer than three pixels remain or a map is constant on them. Pixels that are zero in both are excluded: a map
    that is a multiple of the image is zero on black pixels under any weights, so that mostly black images would make
    such maps alike. The source includes them.
    """
    pairs = zip(maps.flatten(1).double().cpu().numpy(), others.flatten(1).double().cpu().numpy(), strict=True)
    return torch.tensor([_spearman(a[(a != 0) | (b != 0)], b[(a != 0) | (b != 0)]) for a, b in pairs])


def _spearman(first: Float[np.ndarray, " pixels"], second: Float[np.ndarray, " pixels"]) -> float:
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def ssim(maps: Maps, others: Maps) -> PerImage:
    """Structural similarity of each pair, both divided by their maximum, in [−1, 1]; NaN if a map is zero.

    Windows of 7 x 7, smaller on smaller maps. Wang et al., IEEE TIP 2004, as implemented in scikit-image.
    """
    from skimage.metrics import structural_similarity  # slow to import, and few trials need it

    side = min(7, *maps.shape[1:])
    window = side - 1 + side % 2

    def similarity(a: np.ndarray, b: np.ndarray) -> float:
        if not a.max() > 0 or not b.max() > 0:
            return math.nan
        return float(structural_similarity(a / a.max(), b / b.max(), win_size=window, data_range=1.0))

    pairs = zip(maps.double().cpu().numpy(), others.double().cpu().numpy(), strict=True)
    return torch.tensor([similarity(a, b) for a, b in pairs], dtype=torch.float32)


def randomisation_check(attribution: Attribution, maps: Maps, random_maps: Maps) -> dict[str, float | bool | None]:
    """Means over the images of `rank_correlation` and `ssim`, and whether the attribution `failed`.

    It fails, hardly depending on the model, at a mean rank correlation above 0.5 or if it sees no model. None, with NaN
    for the means, if no pair of maps can be compared.
    """
    correlation = rank_correlation(maps, random_maps).nanmean().item()
    failed = None if math.isnan(correlation) else correlation > FAILS_ABOVE
    return {
        "rank_correlation": correlation,
        "ssim": ssim(maps, random_maps).nanmean().item(),
        "failed": failed if attribution.sees_model else True,
    }
