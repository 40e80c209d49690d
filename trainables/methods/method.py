"""What every method is: a classification loss, and for some a penalty with a weight."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options as BaseOptions
from trainables.core.config import TrialConfig
from trainables.datasets.dataset import Split
from trainables.methods.parts.layer_walk import check_walk
from trainables.models import Classifier


class Method:
    """Plain cross-entropy (batch mean, nats); subclasses transform the batch or add a penalty.

    A class attribute `Options` declares the settings that the method alone has.
    """

    has_penalty: ClassVar[bool] = False
    reads_preset: ClassVar[bool] = True
    """Whether training differs between presets; if not, trials under both are trained once."""
    reads_masks: ClassVar[bool] = True
    """Whether training depends on the masks; if not, a trial cannot have a control of them."""
    second_order: ClassVar[bool] = False
    """Whether training differentiates gradients of the images; then it is faster on weights that do not lie channels
    last."""
    stops_gradient: ClassVar[bool] = False
    """Whether the penalty depends on the weights in a way that its gradient leaves out on purpose, such as a search or
    a choice of pixels. Of all other methods the contract tests hold the gradient against differences."""
    needs_cues: ClassVar[bool] = False
    """Whether training depends on the cue of each image, which not every dataset knows."""
    complete_at_end: ClassVar[bool] = False
    """Whether only the last epoch's weights are the method's: what any selection rule then scores."""
    walks_layers: ClassVar[bool] = False
    """Whether it has a rule for each type of layer (layer_walk.py); models with other layers are then refused."""
    relative_cost: ClassVar[float] = 1.0
    """Time of a training step relative to the baseline's, for estimates, where it was not measured (costs.json): for
    methods of other packages."""
    Options: ClassVar[type[BaseOptions]] = BaseOptions

    def __init__(self, config: TrialConfig, feature_size: int):
        """
        Args:
            config: the trial's configuration; the method's own settings are in `config.method_options`.
            feature_size: length of the model's feature vector.
        """
        self.config = config
        self.feature_size = feature_size
        self.options = self.Options(**config.method_options)

    @classmethod
    def check(cls, config: TrialConfig) -> None:
        """Look at a configuration before anything is trained.

        Raises:
            ConfigurationError: the method cannot train it.
        """
        if cls.walks_layers:
            check_walk(config.method, config.model)

    @property
    def weight(self) -> float:
        """What the penalty is multiplied by: the strength, unless the method says otherwise."""
        return self.config.strength

    def loss(self, model: Classifier, batch: Batch) -> Loss:
        """The loss of one training batch; the model is in train mode."""
        logits = model(batch.images).logits
        return Loss(cross_entropy(logits, batch.labels), logits.new_zeros(()))

    def end_epoch(self, evaluation_batches: int) -> None:
        """Called after each epoch with the number of validation batches that the paper's loop would have run."""

    def end_training(self, model: Classifier, splits: Mapping[str, Split]) -> None:
        """Called after the last epoch's steps, before they are scored: the last change that a method makes.

        Args:
            model: in train mode; may be changed.
            splits: train, valid_id and valid_ood; a method sees no test images.
        """

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold beside the model and its optimiser."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""


class Penalty(Method):
    """A method with a penalty. At weight 0 it is the baseline exactly: nothing of the penalty is computed."""

    has_penalty: ClassVar[bool] = True

    def loss(self, model: Classifier, batch: Batch) -> Loss:
        if self.weight == 0:
            return super().loss(model, batch)
        return self.penalised_loss(model, batch)

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        """Classification loss and unweighted penalty of one batch."""
        raise NotImplementedError


def images_with_gradient(batch: Batch) -> torch.Tensor:
    """The batch's images [batch, channels, height, width] as a leaf that requires a gradient."""
    return batch.images.detach().clone().requires_grad_()
