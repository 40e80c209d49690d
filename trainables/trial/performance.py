"""How well logits predict labels: AUC, accuracy and loss."""

import torch
from jaxtyping import Float, Int
from scipy.stats import rankdata
from torch import Tensor
from torch.nn.functional import cross_entropy

from trainables.core.config import Preset


def performance(
    logits: Float[Tensor, "images classes"], labels: Int[Tensor, " images"], preset: Preset
) -> dict[str, float]:
    """auc, accuracy (both in [0, 1]) and loss (mean cross-entropy, nats) of one split.

    AUC is the macro mean, over the classes that occur, of one class against the rest. `fixed` ranks images by the
    class's probability, as log-odds; with two classes that is the AUC of f_1 − f_0. `paper` ranks by the class's
    raw logit. NaN where only one class occurs.
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
    """log p_k − log(1 − p_k), which ranks images as p_k does and, unlike p_k and its logarithm, never saturates."""
    itself = torch.eye(logits.shape[1], dtype=torch.bool)
    return logits - logits[:, None, :].masked_fill(itself, -torch.inf).logsumexp(dim=2)


def binary_auc(scores: Float[Tensor, " images"], positive: torch.Tensor) -> float:
    """Share of (positive, negative) pairs in which the positive scores higher; a tie counts half (Mann-Whitney)."""
    ranks = torch.from_numpy(rankdata(scores.numpy()))
    positives = int(positive.sum())
    negatives = len(positive) - positives
    return (ranks[positive].sum().item() - positives * (positives + 1) / 2) / (positives * negatives)
