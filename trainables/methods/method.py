"""The base of all methods: a classification loss and, for a `Penalty`, a weighted second term."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options as BaseOptions
from trainables.core.config import TrialConfig
from trainables.core.departure import Departure
from trainables.core.shapes import Images, Labels, Logits, PerImage
from trainables.datasets.dataset import Split
from trainables.methods.parts.layer_walk import check_walk
from trainables.models import Classifier


class Method:
    """Plain cross-entropy (batch mean, nats). Subclasses transform the batch or add a penalty.

    Class attributes describe the method to the program and the contract tests; `Options` declares its settings.
    """

    Options: ClassVar[type[BaseOptions]] = BaseOptions
    has_penalty: ClassVar[bool] = False
    strengths: ClassVar[tuple[float, float] | None] = None
    """Lowest and highest strength worth trying under preset `fixed`; None without a penalty."""
    reads_preset: ClassVar[bool] = True
    """False if both presets train alike; their trials then share one training."""
    reads_masks: ClassVar[bool] = True
    """False for methods that never see masks; mask controls are refused for them."""
    needs_cues: ClassVar[bool] = False
    """True if training uses `Batch.cues`, which not every dataset knows."""
    in_pixel_values: ClassVar[tuple[str, ...]] = ()
    """Options in units of pixel value. Their defaults are for pixels in [0, 1]; for other pixels they must be set."""
    walks_layers: ClassVar[bool] = False
    """True if the method has a rule for each type of layer (layer_walk.py); models with other layers are refused."""
    complete_at_end: ClassVar[bool] = False
    """True if training is complete only after the last epoch, whose weights every selection rule then scores."""
    second_order: ClassVar[bool] = False
    """True if training differentiates input gradients, which is faster on weights that are not channels last."""
    idea: ClassVar[str] = ""
    """The idea in a sentence, for docs/methods.md; by default the first line of the docstring of the method's file."""
    departures: ClassVar[tuple[Departure, ...]] = ()
    """Differences from the method's source; those of built-in methods stand in departures.csv."""
    relative_cost: ClassVar[float] = 1.0
    """Time of a training step relative to the baseline's, for estimates if it was not measured (costs.json)."""
    paper_revision: ClassVar[int] = 1
    """`revision` under preset `paper`; that of `fixed` is 1."""
    draws: ClassVar[bool] = False
    """True if the loss draws from `Batch.rng`. If False, the order of a batch must not matter."""
    stops_gradient: ClassVar[bool] = False
    """True if the penalty's gradient ignores part of its dependence on the weights on purpose, such as a search or a
    choice of pixels. Contract tests compare the gradients of all other methods with finite differences."""
    too_steep_on: ClassVar[tuple[str, ...]] = ()
    """Models on which the penalty is too steep for that comparison."""
    epoch = 0
    """The index of the epoch in progress; set by the trial."""

    def __init__(self, config: TrialConfig, feature_size: int):
        self.config = config
        self.feature_size = feature_size
        self.options = self.Options(**config.method_options)

    @classmethod
    def check(cls, config: TrialConfig) -> None:
        """Raise ConfigurationError, before anything is trained, if the method cannot train the configuration."""
        if cls.walks_layers:
            check_walk(config.method, config.model)

    @classmethod
    def contract_settings(cls, model: str) -> dict[str, Any]:
        """Options with which contract tests run the method on `model`, to keep it small and finite."""
        return {}

    @classmethod
    def revision(cls, config: TrialConfig) -> int:
        """Raise this when a change of the method alters this configuration's results: its trials then get new keys."""
        return cls.paper_revision if config.preset == "paper" else 1

    def to(self, device: torch.device) -> None:
        """Move the method's own parameters; called once, before the first batch and before a state is loaded."""

    @property
    def weight(self) -> float:
        """Factor of the penalty: the strength, unless a method overrides it."""
        return self.config.strength

    def loss(self, model: Classifier, batch: Batch) -> Loss:
        """The loss of one training batch; the model is in train mode."""
        logits = model(batch.images).logits
        return Loss(cross_entropy(logits, batch.labels), logits.new_zeros(()))

    def end_epoch(self, evaluation_batches: int) -> None:
        """Called after each epoch and its validation.

        `evaluation_batches`: those that the paper's loop would have run then, all of valid_ood, and all of test_ood if
        this candidate epoch has the lowest loss on valid_ood so far.
        """

    def end_training(self, model: Classifier, splits: Mapping[str, Split]) -> None:
        """Change the model, in train mode, after the last epoch's steps and before it is scored.

        `splits` has train, valid_id and valid_ood; a method sees no test images.
        """

    def state_dict(self) -> dict[str, Any]:
        """State that a checkpoint needs in addition to the model's and the optimiser's."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`."""


class Penalty(Method):
    """A method with a penalty. At weight 0 it is exactly the baseline and the penalty is not computed."""

    has_penalty: ClassVar[bool] = True
    strengths: ClassVar[tuple[float, float] | None] = (1e-1, 1e1)

    def loss(self, model: Classifier, batch: Batch) -> Loss:
        if self.weight == 0:
            return super().loss(model, batch)
        return self.penalised_loss(model, batch)

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        """Classification loss and unweighted penalty of one batch."""
        raise NotImplementedError


def images_with_gradient(batch: Batch) -> Images:
    """The batch's images as a leaf that requires a gradient."""
    return batch.images.detach().clone().requires_grad_()


def of_class(scores: Logits, labels: Labels) -> PerImage:
    """The score of each image's class."""
    return scores.gather(1, labels[:, None])[:, 0]
