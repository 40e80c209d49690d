"""One trial: training by a method, selection of an epoch, scores on five splits, attribution maps and their scores."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from records import columns
from trainables.core.batch import Batch
from trainables.core.config import Preset, TrialConfig
from trainables.core.errors import DivergedError
from trainables.core.streams import PROCESSOR, global_stream, torch_stream
from trainables.datasets.mapped import batches
from trainables.methods import METHODS
from trainables.models.initialise import initialise
from trainables.models.weights import load_weights
from trainables.trial.augment import augment
from trainables.trial.data import images_of, load_splits, training_masks
from trainables.trial.evaluate import evaluate, logits_of, probes, split_performance
from trainables.trial.explain import Localised, localise
from trainables.trial.recipe import freeze, optimizer_of, schedule_of
from trainables.trial.same_training import training_key
from trainables.trial.train import BestEpoch, candidate_epoch, select, train_epoch

EPOCH_SPLITS = ("valid_id", "valid_ood")
"""Splits that are scored after each epoch."""


class Trial:
    """A trial in progress. Call `train_epoch` until `finished`, then `evaluate` and `localise`.

    All randomness comes from streams of `config.seed` and `config.data_seed`, so the same configuration gives the same
    numbers bit for bit on one machine and thread count. Where a method takes a `config`, the trial's is the default.
    """

    def __init__(self, config: TrialConfig, device: str = "cpu", also: Sequence[TrialConfig] = ()):
        """`also` are the configurations of further trials that share this training (equal training keys).

        Before training on a GPU, call `use_gpu` of core/process.py.

        Raises:
            ConfigurationError: the method needs cues that the dataset does not know.
        """
        self.config = config
        self.device = torch.device(device)
        self.splits, self.classes = load_splits(config)
        train = self.splits["train"]
        self.train_masks = training_masks(train, config)
        channels = train.images.shape[1]
        self.model = initialise(config.model, channels, self.classes, config.seed, *images_of(config)).to(self.device)
        load_weights(self.model, config.model, config.weights, config.weights_digest, config.keep_head)
        self.method = METHODS[config.method](config, self.model.feature_size)
        self.method.to(self.device)
        if self.method.second_order and self.method.weight:
            # torch's second derivative of convolutions and batch normalisation is a quarter slower channels last.
            self.model.to(memory_format=torch.contiguous_format)
        freeze(config, self.model)
        self.optimizer = optimizer_of(config, self.model)
        self.schedule = schedule_of(config, self.optimizer, math.ceil(len(train) / config.batch_size))
        self.order_rng = torch_stream("batch order", config.seed)
        self.epoch = 0
        self.model_steps = 0
        self.best = {trial.selection: BestEpoch(trial) for trial in (config, *also)}
        self.history: dict[Preset, list[dict[str, float]]] = {trial.preset: [] for trial in (config, *also)}
        """The metrics of each epoch, by preset: presets compute the AUC differently."""

    @property
    def finished(self) -> bool:
        return self.epoch >= self.config.epochs

    def train_epoch(self) -> dict[str, float]:
        """Train one epoch, score the validation splits, and keep the weights that selection prefers.

        Returns:
            `train.loss` (classification) and `train.penalty` (unweighted), means over the epoch's images, and
            auc, accuracy and loss of valid_id and valid_ood.

        Raises:
            DivergedError: a loss or penalty that is not finite, in training or on a validation split.
        """
        self.method.epoch = self.epoch
        # Dropout and stochastic depth draw from torch's global generator.
        with global_stream("dropout", self.config.seed, self.epoch, device=self.device):
            classification, penalty, steps = train_epoch(
                self.model,
                self.method,
                self.optimizer,
                self.batches(),
                self.config.precision,
                self.epoch,
                self.schedule,
                self.config.clip_norm,
            )
        self.model_steps += steps
        return self.end_epoch(classification, penalty)

    def batches(self) -> Iterator[Batch]:
        """The training images in a new random order, `batch_size` at a time; the last batch may be smaller.

        With `augment`, the images are changed anew in each epoch.
        """
        train = self.splits["train"]
        rng = torch_stream("method", self.config.seed, self.epoch)
        order = torch.randperm(len(train), generator=self.order_rng)
        sources = train.images, self.train_masks, train.labels, train.cues
        augmented = self.config.augment != "none"
        several = batches(sources, order.split(self.config.batch_size), PROCESSOR if augmented else self.device)
        for number, (images, masks, labels, cues) in enumerate(several):
            if augmented:
                images, masks = augment(self.config, images, masks, train.limits[0], self.epoch, number)
            images, masks, labels, cues = (part.to(self.device) for part in (images, masks, labels, cues))
            yield Batch(images, labels, masks, rng, cues)

    def end_epoch(self, classification: float, penalty: float) -> dict[str, float]:
        """What follows an epoch's last step, given its losses; see `train_epoch`."""
        if self.epoch == self.config.epochs - 1:
            self.method.end_training(self.model, {name: self.splits[name] for name in ("train", *EPOCH_SPLITS)})
        metrics = {preset: {"train.loss": classification, "train.penalty": penalty} for preset in self.history}
        for name in EPOCH_SPLITS:
            split = self.splits[name]
            logits = logits_of(self.model, split.images)
            for preset, values in metrics.items():
                values |= split_performance(name, logits, split.labels, preset)
            # No training loss follows the last step, so only this one shows that it made weights infinite.
            loss = metrics[self.config.preset][columns.performance(name, "loss")]
            if not math.isfinite(loss):
                raise DivergedError(f"{name} loss {loss:g} after epoch {self.epoch}")
        for preset, values in metrics.items():
            self.history[preset].append(values)
        select(self.best.values(), self.epoch, metrics[self.config.preset], self.model)
        self.method.end_epoch(self._evaluation_batches())
        self.epoch += 1
        return metrics[self.config.preset]

    def _evaluation_batches(self) -> int:
        """For `Method.end_epoch`. It ignores the trial's selection, as trials that differ in it share one training."""
        loss = columns.performance("valid_ood", "loss")
        losses = [metrics[loss] for metrics in self.history[self.config.preset][candidate_epoch(self.config) :]]
        lowest = bool(losses) and losses[-1] < min(losses[:-1], default=math.inf)
        scored = ("valid_ood", "test_ood") if lowest else ("valid_ood",)
        return sum(math.ceil(len(self.splits[name]) / self.config.batch_size) for name in scored)

    def selected(self, config: TrialConfig | None = None) -> BestEpoch:
        """The epoch that `config` selects so far."""
        return self.best[(config or self.config).selection]

    def evaluate(self, config: TrialConfig | None = None) -> dict[str, float]:
        """Performance and probes with the weights that `config` selects."""
        config = self._use_selected_weights(config)
        of_epoch = self.history[config.preset][self.selected(config).epoch]
        scores = evaluate(self.model, self.splits, config.preset, known=of_epoch)
        return scores | probes(self.model, self.splits["test_id"], config.data_seed, config.preset)

    def localise(self, config: TrialConfig | None = None) -> Localised:
        """Maps and their scores with the weights that `config` selects."""
        config = self._use_selected_weights(config)
        return localise(self.model, self.splits, self.classes, config)

    def state_dict(self) -> dict[str, Any]:
        """All that training needs to continue from here to the same result."""
        return {
            "training_key": training_key(self.config),
            "epoch": self.epoch,
            "model_steps": self.model_steps,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule else None,
            "method": self.method.state_dict(),
            "order_rng": self.order_rng.get_state(),
            "best": {selection: best.state_dict() for selection, best in self.best.items()},
            "history": self.history,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict()`.

        Raises:
            ValueError: the state is of another training, or lacks a selection rule or preset of this one's trials.
        """
        key = training_key(self.config)
        if state["training_key"] != key:
            raise ValueError(
                f"this checkpoint belongs to training {state['training_key']}, not to {key}; "
                "a checkpoint only continues the configuration that wrote it"
            )
        missing: list[str] = [
            name for name, best in self.best.items() if name not in state["best"] and state["epoch"] > best.first_choice
        ]
        missing += [preset for preset in self.history if preset not in state["history"]]
        if missing:
            raise ValueError(f"this checkpoint of epoch {state['epoch']} was saved without {', '.join(missing)}")
        self.epoch = state["epoch"]
        self.model_steps = state["model_steps"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule:
            self.schedule.load_state_dict(state["schedule"])
        self.method.load_state_dict(state["method"])
        self.order_rng.set_state(state["order_rng"])
        for selection in self.best.keys() & state["best"].keys():
            self.best[selection].load_state_dict(state["best"][selection])
        self.history = {preset: list(state["history"][preset]) for preset in self.history}

    def _use_selected_weights(self, config: TrialConfig | None) -> TrialConfig:
        self.model.load_state_dict(self.selected(config).weights)
        self.model.eval()
        return config or self.config
