"""Group DRO: the group of label and cue with the highest loss has the most weight. No masks."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options, TrialConfig
from trainables.core.shapes import Labels, PerImage
from trainables.methods.method import Method
from trainables.models import Classifier

PerGroup = Float[Tensor, " groups"]


class GroupDROOptions(Options):
    group_dro_step: float = Field(
        0.01, ge=0, allow_inf_nan=False, description="eta, step size of the groups' weights; 0: equal weights"
    )


def group_losses(losses: PerImage, groups: Labels, count: int) -> tuple[PerGroup, Bool[Tensor, " groups"]]:
    """The mean loss of each of `count` groups, 0 for groups that the batch lacks, and which groups the batch has."""
    members = one_hot(groups, count).to(losses.dtype)
    images = members.sum(dim=0)
    return members.T @ losses / images.clamp(min=1), images > 0


class GroupDRO(Method):
    """sum_g q_g · CE_g, CE_g the mean cross-entropy of the batch's images of group g (label and cue), in nats.

    Each batch first sets q_g <- q_g · exp(eta · CE_g) for its groups and scales q to sum 1; eta is `group_dro_step`.
    A reference without masks, for data with known groups. Only groups seen so far have weights, which start equal. At
    severity 1 the groups are the classes, and none contradicts the shortcut.

    Source: Sagawa, Koh, Hashimoto & Liang, ICLR 2020, arXiv:1911.08731, algorithm 1, with its eta of 0.01.
    """

    reads_preset = False
    reads_masks = False
    needs_cues = True
    Options = GroupDROOptions
    options: GroupDROOptions

    def __init__(self, config: TrialConfig, feature_size: int):
        super().__init__(config, feature_size)
        self.log_weights: PerGroup | None = None
        """log q, not normalised; -inf for groups not seen yet. None before the first batch."""

    def loss(self, model: Classifier, batch: Batch) -> Loss:
        if batch.cues is None:
            raise ValueError("group_dro needs batch.cues, got None: pass the class that each cue points to")
        logits = model(batch.images).logits
        classes = logits.shape[1]
        entropies = cross_entropy(logits, batch.labels, reduction="none")
        losses, present = group_losses(entropies, batch.labels * classes + batch.cues, classes**2)
        weights = self._weights(losses.detach(), present)
        return Loss((weights * losses).sum(), logits.new_zeros(()))

    def _weights(self, losses: PerGroup, present: Bool[Tensor, " groups"]) -> PerGroup:
        """q after this batch's losses; 0 for groups not seen yet."""
        known = torch.full_like(losses, -torch.inf) if self.log_weights is None else self.log_weights.to(losses)
        seen = torch.where(present & known.isinf(), torch.zeros_like(known), known)
        self.log_weights = seen + self.options.group_dro_step * losses
        return self.log_weights.softmax(dim=0)

    def state_dict(self) -> dict[str, Any]:
        return {"log_weights": self.log_weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.log_weights = state["log_weights"]
