"""Performance on the five splits, and probes: the AUC on images that are altered outside their masks."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from scipy.stats import rankdata
from torch import Tensor
from torch.nn.functional import cross_entropy

from records import columns
from trainables.core.batch import parts
from trainables.core.config import Preset
from trainables.core.shapes import Images, Labels, Logits, PerImage, Pixels
from trainables.core.streams import torch_stream
from trainables.datasets import Split
from trainables.datasets.mapped import Source, batches
from trainables.methods.parts.altered import shuffle_outside
from trainables.models import Classifier

COLLAPSED_SPREAD = 1e-3
"""A model has collapsed if its class probabilities vary less than this over all images."""


def evaluate(
    model: Classifier, splits: Mapping[str, Split], preset: Preset, known: Mapping[str, float] = MappingProxyType({})
) -> dict[str, float]:
    """auc, accuracy and loss on the five splits and the splits' sizes, by record column.

    The test splits are also scored on two random halves of their images, to show how reliable the scores are.
    `collapsed` says whether the model gives every image of test_id the same answer. `known` may hold scores of these
    weights on train and validation splits, which then need no second pass. The model is left in evaluation mode.
    """
    scores: dict[str, float] = {}
    for name in columns.SPLITS:
        split = splits[name]
        of_split = [columns.performance(name, measure) for measure in columns.PERFORMANCE]
        if name not in columns.SCORED_SPLITS and known.keys() >= set(of_split):
            scores |= {column: known[column] for column in of_split}
        else:
            logits = logits_of(model, split.images)
            scores |= split_performance(name, logits, split.labels, preset)
        scores[columns.images(name)] = len(split)
        if name not in columns.SCORED_SPLITS:
            continue
        for which, index in halves(len(split)).items():
            of_half = split_performance(name, logits[index], split.labels[index], preset)
            scores |= {columns.half(column, which): value for column, value in of_half.items()}
        if name == "test_id":
            probabilities = logits.double().softmax(dim=1)
            spread = (probabilities.amax(dim=0) - probabilities.amin(dim=0)).max().item()
            scores[columns.COLLAPSED] = spread < COLLAPSED_SPREAD
    return scores


def logits_of(model: Classifier, images: Source) -> Logits:
    """Logits on the processor, computed in evaluation mode, which the model is left in."""
    model.eval()
    device = next(model.parameters()).device
    with torch.no_grad():
        of_parts = batches((images,), parts(len(images), images.shape, device), device)
        return torch.cat([model(part).logits.cpu() for (part,) in of_parts])


def split_performance(split: str, logits: Logits, labels: Labels, preset: Preset) -> dict[str, float]:
    """`performance` by the record columns of `split`."""
    return {columns.performance(split, name): value for name, value in performance(logits, labels, preset).items()}


def performance(logits: Logits, labels: Labels, preset: Preset) -> dict[str, float]:
    """auc, accuracy (both in [0, 1]) and loss (mean cross-entropy, nats).

    AUC is the macro mean, over the classes that occur, of one class against the rest; NaN if only one occurs. `fixed`
    ranks images by the log-odds of the class (with two classes f_1 − f_0), `paper` by its raw logit.
    """
    scores = logits if preset == "paper" else log_odds(logits.double())
    present = [k for k in range(logits.shape[1]) if 0 < int((labels == k).sum()) < len(labels)]
    aucs = [binary_auc(scores[:, k], labels == k) for k in present]
    return {
        "auc": sum(aucs) / len(aucs) if aucs else float("nan"),
        "accuracy": (logits.argmax(dim=1) == labels).double().mean().item(),
        "loss": cross_entropy(logits.double(), labels).item(),
    }


def log_odds(logits: Logits) -> Logits:
    """log p_k − log(1 − p_k), which ranks images as p_k does and, unlike p_k or log p_k, never saturates."""
    itself = torch.eye(logits.shape[1], dtype=torch.bool)
    return logits - logits[:, None, :].masked_fill(itself, -torch.inf).logsumexp(dim=2)


def binary_auc(scores: PerImage, positive: torch.Tensor) -> float:
    """Share of (positive, negative) pairs in which the positive scores higher, a tie counting half (Mann-Whitney)."""
    ranks = torch.from_numpy(rankdata(scores.numpy()))
    positives = int(positive.sum())
    negatives = len(positive) - positives
    return (ranks[positive].sum().item() - positives * (positives + 1) / 2) / (positives * negatives)


def halves(images: int) -> dict[int, torch.Tensor]:
    """Indices of two random halves, by 1 and 2: the same ones in every trial, so that trials are comparable."""
    order = torch.randperm(images, generator=torch_stream("halves"))
    return {1: order[: images // 2], 2: order[images // 2 :]}


def probes(model: Classifier, split: Split, data_seed: int, preset: Preset) -> dict[str, float]:
    """The AUC on `split`, which is test_id, under each alteration of `altered`, by record column.

    All images with a mask are probed, with the expert's mask whatever masks training sees. The AUC is over the classes
    that have masks, NaN if fewer than two have. Donors and shuffles depend on the split and `data_seed` alone, so all
    models of one data seed see the same altered images. The model is left in evaluation mode.
    """
    masked = split.masked.nonzero()[:, 0]
    labels = split.labels[masked]
    if len(labels.unique()) < 2:
        return dict.fromkeys(columns.PROBES, float("nan"))
    device = next(model.parameters()).device
    donors = others(masked, torch_stream("probe donors", data_seed))
    rng = torch_stream("probe shuffle", data_seed)
    logits: dict[str, list[Tensor]] = {outside: [] for outside in columns.OUTSIDES}
    several = list(parts(len(masked), split.images.shape, device))
    changing = batches((split.images, split.masks), (masked[part] for part in several), device)
    giving = batches((split.images,), (donors[part] for part in several), device)
    for (images, masks), (from_others,) in zip(changing, giving, strict=True):
        for outside, changed in altered(images, masks, from_others, rng).items():
            logits[outside].append(logits_of(model, changed))
    return {
        columns.probe(outside): performance(torch.cat(of_parts), labels, preset)["auc"]
        for outside, of_parts in logits.items()
    }


def altered(images: Images, masks: Pixels, donors: Images, rng: torch.Generator) -> dict[str, Images]:
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


def others(values: Tensor, rng: torch.Generator) -> Tensor:
    """For each entry, the next one in a random cycle through all: another one, unless there is only one."""
    order = torch.randperm(len(values), generator=rng)
    result = torch.empty_like(values)
    result[order] = values[order.roll(1)]
    return result
