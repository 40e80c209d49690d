"""Performance: AUC, accuracy and loss of a model on the five splits."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from jaxtyping import Float, Int
from scipy.stats import rankdata
from torch import Tensor
from torch.nn.functional import cross_entropy

from records import columns
from trainables.core.batch import IMAGES_AT_ONCE
from trainables.core.config import Preset
from trainables.core.streams import torch_stream
from trainables.datasets import Split
from trainables.models import Classifier

COLLAPSED_SPREAD = 1e-3
"""A model has collapsed if its class probabilities vary less than this over all images."""


def evaluate(
    model: Classifier, splits: Mapping[str, Split], preset: Preset, known: Mapping[str, float] = MappingProxyType({})
) -> dict[str, float]:
    """auc, accuracy and loss on the five splits and the splits' sizes, by record column.

    The test splits are also scored on two random halves of their images, which shows how reliable the scores are, and
    `collapsed` says whether the model gives every image of test_id the same answer. The model is left in evaluation
    mode. `known` may hold scores of these weights on train and validation splits, which then need no second pass.
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


def logits_of(
    model: Classifier, images: Float[Tensor, "images channels height width"]
) -> Float[Tensor, "images classes"]:
    """Logits on the processor, computed in evaluation mode, which the model is left in."""
    model.eval()
    device = next(model.parameters()).device
    with torch.no_grad():
        return torch.cat([model(part.to(device)).logits.cpu() for part in images.split(IMAGES_AT_ONCE)])


def split_performance(
    split: str, logits: Float[Tensor, "images classes"], labels: Int[Tensor, " images"], preset: Preset
) -> dict[str, float]:
    """`performance` by the record columns of `split`."""
    return {columns.performance(split, name): value for name, value in performance(logits, labels, preset).items()}


def performance(
    logits: Float[Tensor, "images classes"], labels: Int[Tensor, " images"], preset: Preset
) -> dict[str, float]:
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


def log_odds(logits: Float[Tensor, "images classes"]) -> Float[Tensor, "images classes"]:
    """log p_k − log(1 − p_k), which ranks images as p_k does and, unlike p_k or log p_k, never saturates."""
    itself = torch.eye(logits.shape[1], dtype=torch.bool)
    return logits - logits[:, None, :].masked_fill(itself, -torch.inf).logsumexp(dim=2)


def binary_auc(scores: Float[Tensor, " images"], positive: torch.Tensor) -> float:
    """Share of (positive, negative) pairs in which the positive scores higher, a tie counting half (Mann-Whitney)."""
    ranks = torch.from_numpy(rankdata(scores.numpy()))
    positives = int(positive.sum())
    negatives = len(positive) - positives
    return (ranks[positive].sum().item() - positives * (positives + 1) / 2) / (positives * negatives)


def halves(images: int) -> dict[int, Int[Tensor, " half"]]:
    """Indices of two random halves, by 1 and 2: the same ones in every trial, so that trials are comparable."""
    order = torch.randperm(images, generator=torch_stream("halves"))
    return {1: order[: images // 2], 2: order[images // 2 :]}
