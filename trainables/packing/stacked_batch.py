"""The training batches of many trials side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trainables.streams import torch_stream
from trainables.trial import Trial


@dataclass(frozen=True)
class StackedBatch:
    """One batch of each member; what a `Batch` holds, with the members as the first axis."""

    images: Float[Tensor, "members batch channels height width"]
    labels: Int[Tensor, "members batch"]
    masks: Bool[Tensor, "members batch 1 height width"]
    rngs: Sequence[torch.Generator]
    """Each member's source of everything random in its method."""


class StackedData:
    """The training images of many trials on their device, once for those that share them."""

    def __init__(self, trials: Sequence[Trial]):
        """
        Args:
            trials: with equally many training images of one shape, and one batch size.
        """
        self.trials = trials
        splits = [trial.splits["train"] for trial in trials]
        different = {id(split.images): split for split in splits}
        device = trials[0].device
        self.images = torch.stack([split.images for split in different.values()]).to(device)
        self.labels = torch.stack([split.labels for split in different.values()]).to(device)
        self.masks = torch.stack([trial.train_masks for trial in trials]).to(device)
        places = list(different)
        self.place = torch.tensor([places.index(id(split.images)) for split in splits], device=device)[:, None]
        self.member = torch.arange(len(trials), device=device)[:, None]

    def epoch(self) -> Iterator[StackedBatch]:
        """The batches of each trial's next epoch, as the trial itself would draw them from its streams."""
        trials = self.trials
        rngs = [torch_stream("method", trial.config.seed, trial.epoch) for trial in trials]
        orders = torch.stack([trial.next_order() for trial in trials]).to(self.member.device)
        for index in orders.split(trials[0].config.batch_size, dim=1):
            yield StackedBatch(
                self.images[self.place, index], self.labels[self.place, index], self.masks[self.member, index], rngs
            )
