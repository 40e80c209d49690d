"""Probes: the AUC on ID test images whose pixels outside the mask are altered. They need masks but no maps."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from records import columns
from trainables.core.batch import IMAGES_AT_ONCE
from trainables.core.config import Preset
from trainables.core.streams import torch_stream
from trainables.datasets import Split
from trainables.methods.parts.altered import shuffle_outside
from trainables.models import Classifier
from trainables.trial.evaluate import logits_of, performance


def probes(model: Classifier, split: Split, data_seed: int, preset: Preset) -> dict[str, float]:
    """The AUC on `split`, which is test_id, under each alteration of `altered`, by record column.

    All images with a mask are probed, with the expert's mask as it is, whatever masks training sees. The AUC is that of
    `performance` over the classes that have masks, NaN if fewer than two have. Donors and shuffles depend on the split
    and `data_seed` alone, so all models of one data seed see the same altered images. The model is left in evaluation
    mode.
    """
    masked = split.masks.flatten(1).any(dim=1).nonzero()[:, 0]
    labels = split.labels[masked]
    if len(labels.unique()) < 2:
        return dict.fromkeys(columns.PROBES, float("nan"))
    device = next(model.parameters()).device
    donors = others(masked, torch_stream("probe donors", data_seed))
    rng = torch_stream("probe shuffle", data_seed)
    logits: dict[str, list[Tensor]] = {outside: [] for outside in columns.OUTSIDES}
    for part, donor in zip(masked.split(IMAGES_AT_ONCE), donors.split(IMAGES_AT_ONCE), strict=True):
        images, masks, from_others = (
            values.to(device) for values in (split.images[part], split.masks[part], split.images[donor])
        )
        for outside, changed in altered(images, masks, from_others, rng).items():
            logits[outside].append(logits_of(model, changed))
    return {
        columns.probe(outside): performance(torch.cat(parts), labels, preset)["auc"]
        for outside, parts in logits.items()
    }


def altered(
    images: Float[Tensor, "images channels height width"],
    masks: Bool[Tensor, "images 1 height width"],
    donors: Float[Tensor, "images channels height width"],
    rng: torch.Generator,
) -> dict[str, Float[Tensor, "images channels height width"]]:
    """The images altered outside their masks, by kind of alteration.

    `zeroed`: pixels are 0. `shuffled`: they are permuted within the image, as method `shuffled` does in training.
    `swapped`: they are those of the image's donor at the same place.

    Source: `swapped` is Mixed-Rand of Xiao et al., ICLR 2021, arXiv 2006.09994, with one departure. The source first
    removes the donor's object and tiles the donor's background over the hole. Here the donor's object stays and shows
    where it lies outside the image's mask; its class is random, so it lowers the AUC of models that look there.
    """
    return {
        "zeroed": images.masked_fill(~masks, 0.0),
        "shuffled": shuffle_outside(images, ~masks, rng),
        "swapped": torch.where(masks, images, donors),
    }


def others(index: Int[Tensor, " images"], rng: torch.Generator) -> Int[Tensor, " images"]:
    """For each entry of `index`, the next one in a random cycle through all: another one, unless there is only one."""
    order = torch.randperm(len(index), generator=rng)
    donors = torch.empty_like(index)
    donors[order] = index[order.roll(1)]
    return donors
