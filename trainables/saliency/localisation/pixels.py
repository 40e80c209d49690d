"""Metrics of all pixels: of their order (hits among the highest, areas under curves), and of their mass."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trainables.core.shapes import Maps, Masks, PerImage
from trainables.saliency.localisation.metric import Traits, defined, with_traits

TOP_SHARE = 0.01
"""Share of the pixels that `top_k` looks at."""


def pointing(maps: Maps, masks: Masks) -> PerImage:
    """Pointing game: 1 if the highest pixel lies in the mask, else 0; of several highest, the share that does.

    NaN for an empty mask or an all-zero map. Chance level: the mask's relative area.

    Source: Zhang et al., IJCV 2018 (arXiv:1608.00507), section 4.1; without their tolerance of 15 pixels.
    """
    return defined(_share_of_highest(maps, masks, torch.ones_like(_areas(masks))), maps, masks)


def rank_accuracy(maps: Maps, masks: Masks) -> PerImage:
    """Relevance rank accuracy: share in [0, 1] of the |M| highest pixels that lie in M; ties as if broken at random.

    Without ties it is IoP at the mask's area, and IoU = RRA / (2 − RRA). NaN for an empty mask or an all-zero map.
    Chance level: the mask's relative area.

    Source: Arras et al., Information Fusion 2022 (arXiv:2003.07258), section 3.3.
    """
    return defined(_share_of_highest(maps, masks, _areas(masks)), maps, masks)


def top_k(maps: Maps, masks: Masks) -> PerImage:
    """Top-k intersection: share in [0, 1] of the k highest pixels that lie in the mask; ties as if broken at random.

    k is 1 % of the pixels, rounded, at least 1, and at most the mask's area, so that 1 can be reached. NaN for an empty
    mask or an all-zero map. Chance level: the mask's relative area.

    Source: Theiner et al., WACV 2022; there k is 1,000 and the images 224 x 224 and larger.
    """
    k = max(1, round(TOP_SHARE * masks.shape[1:].numel()))
    return defined(_share_of_highest(maps, masks, torch.clamp(_areas(masks), max=k)), maps, masks)


@with_traits(Traits(constant_map=lambda area: 0.5))
def auroc(maps: Maps, masks: Masks) -> PerImage:
    """P(a pixel in the mask is higher than one outside) + P(they tie) / 2, in [0, 1].

    NaN for an empty mask, one that covers the whole image, or an all-zero map. Chance level: 0.5.

    Source: Fong & Vedaldi, ICCV 2017; Hanley & McNeil, Radiology 1982 (the area as this probability).
    """
    flat, inside = maps.flatten(1), masks.flatten(1).double()
    below, not_above = _below_and_not_above(flat, flat)
    ranks = (below + not_above + 1).double() / 2
    positive = inside.sum(dim=1)
    pairs = positive * (inside.shape[1] - positive)
    wins = (ranks * inside).sum(dim=1) - positive * (positive + 1) / 2
    return defined((wins / pairs).to(maps.dtype), maps, masks)


@with_traits(Traits(inverted_map=0.5))
def auprc(maps: Maps, masks: Masks) -> PerImage:
    """Average precision in [0, 1]: mean over the mask's pixels of the precision at their value, ties taken together.

    NaN for an empty mask or an all-zero map. Chance level: the mask's relative area.

    Source: Arun et al., Radiology: AI 2021, who score maps by it; the step-wise sum, as in scikit-learn.
    """
    flat, inside = maps.flatten(1), masks.flatten(1)
    pixels = flat.shape[1]
    all_below, _ = _below_and_not_above(flat, flat)
    positive_below, _ = _below_and_not_above(torch.where(inside, flat, -torch.inf), flat)
    # Pixels outside stand at minus infinity among the positives, so both counts are of all pixels.
    precision = (pixels - positive_below).double() / (pixels - all_below)
    return defined(((precision * inside).sum(dim=1) / inside.sum(dim=1)).to(maps.dtype), maps, masks)


def energy(maps: Maps, masks: Masks) -> PerImage:
    """sum of A+ in M / sum of A+, in [0, 1], A+ the positive part of the map. Also called relevance mass accuracy.

    NaN for an empty mask or an all-zero map. Chance level: the mask's relative area.

    Source: Wang et al., CVPR workshops 2020 (Score-CAM), section 4.3; Arras et al., Information Fusion 2022.
    """
    mass = maps.clamp(min=0).double()
    inside = (mass * masks).flatten(1).sum(dim=1) / mass.flatten(1).sum(dim=1)
    return defined(inside.to(maps.dtype), maps, masks)


@with_traits(Traits(on_distractor=True, lower_is_better=True))
def distractor_mass(maps: Maps, distractors: Masks) -> PerImage:
    """sum of A+ on D / sum of A+, in [0, 1], D the distractor mask; unlike all others, lower is better.

    NaN for an empty distractor mask (an image without the cue, or a dataset that does not know where it is) or an
    all-zero map. Chance level: the distractor's relative area.

    Source: ours, after the pointing game's energy; cf. the "wrong reason" measure of Friedrich et al., 2023.
    """
    return energy(maps, distractors)


def _share_of_highest(maps: Maps, masks: Masks, k: Int[Tensor, " images"]) -> PerImage:
    """Share in [0, 1] of the k highest pixels that lie in the mask; k >= 1.

    Pixels tied at the k-th value count as the expected value if ties were broken at random: the places left, times
    their share in the mask. A constant map scores the mask's relative area.
    """
    flat, inside = maps.flatten(1), masks.flatten(1)
    kth = flat.sort(dim=1, descending=True).values.gather(1, (k - 1)[:, None])
    above, tied = flat > kth, flat == kth
    places = k - above.sum(dim=1)
    tied_share = (tied & inside).sum(dim=1).float() / tied.sum(dim=1).clamp(min=1)
    return ((above & inside).sum(dim=1) + places * tied_share) / k


def _areas(masks: Masks) -> Int[Tensor, " images"]:
    """Pixels of each mask, at least 1: the score of an empty mask is undefined anyway."""
    return masks.flatten(1).sum(dim=1).clamp(min=1)


def _below_and_not_above(
    values: Float[Tensor, "images others"], at: Float[Tensor, "images pixels"]
) -> tuple[Int[Tensor, "images pixels"], Int[Tensor, "images pixels"]]:
    """For each of `at`, how many of the row's `values` are less, and how many are not greater."""
    ordered = values.sort(dim=1).values
    at = at.contiguous()
    return torch.searchsorted(ordered, at), torch.searchsorted(ordered, at, right=True)
