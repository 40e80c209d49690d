"""One trial: training by a method, selection of an epoch, scores on five splits, attribution maps and their scores."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from records import columns
from trainables.core.batch import IMAGES_AT_ONCE, Batch
from trainables.core.config import Preset, TrialConfig
from trainables.core.errors import DivergedError
from trainables.core.streams import stream_seed, torch_stream
from trainables.datasets import Split, find_dataset, load
from trainables.methods import METHODS
from trainables.models.initialise import initialise
from trainables.saliency.attribution import ATTRIBUTIONS, Attribution
from trainables.saliency.attribution.randomisation import random_model, randomisation_check
from trainables.saliency.faithfulness import FAITHFULNESS, Explained
from trainables.saliency.localisation import LOCALISATION, ON_DISTRACTOR, TUNED, chance_iou
from trainables.saliency.localisation.blur import blur
from trainables.trial.controls import inside_masks, training_masks
from trainables.trial.groups import check_cues, cues_are_known
from trainables.trial.performance import performance
from trainables.trial.selection import BestEpoch
from trainables.tune.memory import keep_freed_memory

EPOCH_SPLITS = ("valid_id", "valid_ood")
# Maps kept per split for people to look at; the scores rest on config.attribution_images of them.
KEPT_MAPS = 8
# Class probabilities that vary less than this over all images are a constant answer.
COLLAPSED_SPREAD = 1e-3


@dataclass(frozen=True)
class Localised:
    """Scores of the maps by record column, and the first maps of each split for the gallery."""

    scores: dict[str, float | None]
    arrays: dict[str, np.ndarray]
    """`labels [N]`; per split `<split>.images [N, C, H, W]` (float16), `<split>.masks` and `<split>.distractors`
    [N, H, W] (bool) and per attribution `<split>.map.<attribution> [N, H, W]` (float16, not blurred)."""
    seconds: dict[str, float]
    """Wall-clock seconds that each attribution's maps took, by record column."""


@dataclass(frozen=True)
class Scored:
    """The images of one split whose maps are scored, with what they are scored on."""

    images: Float[Tensor, "images channels height width"]
    labels: Int[Tensor, " images"]
    masks: Bool[Tensor, "images height width"]
    distractors: Bool[Tensor, "images height width"]


Metric = Callable[[Tensor, Scored], Tensor]
"""From maps and the images that they are of to one score an image."""


class Trial:
    """A trial in progress. Call `train_epoch` until `finished`, then `evaluate` and `localise`.

    Everything random comes from streams of `config.seed` and `config.data_seed`, so the same configuration gives
    the same numbers bit for bit on one machine and thread count.
    """

    def __init__(self, config: TrialConfig, device: str = "cpu", also: Sequence[TrialConfig] = ()):
        """
        Args:
            config: the trial's.
            device: to train on.
            also: further configurations that are trained alike (equal `training_key`) and scored from this training.

        Raises:
            ConfigurationError: the method needs cues that the dataset does not know.
        """
        self.config = config
        self.device = torch.device(device)
        dataset = find_dataset(config.dataset)
        options = dataset.Options(**config.dataset_options)
        splits = load(dataset, options, config.severity, config.data_seed)
        if METHODS[config.method].needs_cues:
            check_cues(config.method, config.dataset, cues_are_known(splits))
        if config.mask_test:
            splits = {name: inside_masks(split, config) for name, split in splits.items()}
        self.splits = splits
        self.classes = dataset(options, config.severity, config.data_seed).classes
        self.model = initialise(config.model, self.splits["train"].images.shape[1], self.classes, config.seed)
        self.model.to(self.device)
        self.method = METHODS[config.method](config, self.model.feature_size)
        if self.method.second_order and self.method.weight:
            # torch's second derivative of convolutions and batch normalisation is a quarter slower channels last.
            self.model.to(memory_format=torch.contiguous_format)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.lr)
        self.train_masks = training_masks(self.splits["train"], config)
        self.order_rng = torch_stream("batch order", config.seed)
        self.epoch = 0
        self.model_steps = 0
        self.best = {trial.selection: BestEpoch(trial) for trial in (config, *also)}
        self.history: dict[Preset, list[dict[str, float]]] = {trial.preset: [] for trial in (config, *also)}
        """What `train_epoch` returned, by preset: the presets compute another AUC."""

    @property
    def finished(self) -> bool:
        return self.epoch >= self.config.epochs

    def train_epoch(self) -> dict[str, float]:
        """Train one epoch, look at the validation splits, and keep the weights if selection prefers them.

        Returns:
            `train.loss` (classification) and `train.penalty` (unweighted), means over the epoch's images, and
            auc, accuracy and loss of valid_id and valid_ood.

        Raises:
            DivergedError: a loss or penalty that is not finite, in training or on a validation split.
        """
        self.model.train()
        classification, penalty, seen = 0.0, 0.0, 0
        for number, batch in enumerate(self._batches()):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
                loss = self.method.loss(self.model, batch)
            total = loss.classification
            if self.method.weight:
                total = total + self.method.weight * loss.penalty
            if not torch.isfinite(total):
                raise DivergedError(
                    f"loss {loss.classification.item():g} and penalty {loss.penalty.item():g} "
                    f"(weight {self.method.weight:g}) in batch {number} of epoch {self.epoch}"
                )
            if loss.updates_model:
                self.optimizer.zero_grad(set_to_none=True)
                total.backward()
                self.optimizer.step()
                self.model_steps += 1
            images = len(batch.labels)
            classification += loss.classification.item() * images
            penalty += loss.penalty.item() * images
            seen += images
        return self.end_epoch(classification / seen, penalty / seen)

    def end_epoch(self, classification: float, penalty: float) -> dict[str, float]:
        """What follows an epoch's last training step: see `train_epoch`. The model is in train mode.

        Args:
            classification: the classification loss, mean over the epoch's images.
            penalty: the unweighted penalty, likewise.

        Raises:
            DivergedError: a validation loss that is not finite.
        """
        valid_images = len(self.splits["valid_id"])
        self.method.end_epoch(math.ceil(valid_images / self.config.batch_size))
        if self.epoch == self.config.epochs - 1:
            self.method.end_training(self.model, {name: self.splits[name] for name in ("train", *EPOCH_SPLITS)})
        losses = {"train.loss": classification, "train.penalty": penalty}
        by_preset = {preset: dict(losses) for preset in self.history}
        metrics = by_preset[self.config.preset]
        for name in EPOCH_SPLITS:
            for preset, values in self._performance(name).items():
                by_preset[preset] |= values
            # The last step of an epoch may leave the finite numbers without another training loss to show it.
            loss_after = metrics[columns.performance(name, "loss")]
            if not math.isfinite(loss_after):
                raise DivergedError(f"{name} loss {loss_after:g} after epoch {self.epoch}")
        for preset, values in by_preset.items():
            self.history[preset].append(values)
        self._select(metrics)
        self.epoch += 1
        return metrics

    def selected(self, config: TrialConfig | None = None) -> BestEpoch:
        """The epoch that `config` (by default the trial's own) selects so far."""
        return self.best[(config or self.config).selection]

    def evaluate(self, config: TrialConfig | None = None) -> dict[str, float]:
        """auc, accuracy and loss on the five splits and their sizes, by record column, with the selected weights.

        Those of the test splits also on two random halves of their images, which tells how reliable they are; and
        `collapsed`, whether the model answers every image of test_id alike. Of the trial's own configuration, or of
        another `config` that the trial was given.
        """
        config = config or self.config
        self._use_weights(config)
        scores: dict[str, float] = {}
        for name in columns.SPLITS:
            split = self.splits[name]
            logits = self._logits(split)
            values = performance(logits, split.labels, config.preset)
            scores |= {columns.performance(name, measure): value for measure, value in values.items()}
            scores[columns.images(name)] = len(split)
            if name not in columns.SCORED_SPLITS:
                continue
            for which, index in halves(len(split)).items():
                values = performance(logits[index], split.labels[index], config.preset)
                scores |= {columns.half(columns.performance(name, m), which): value for m, value in values.items()}
            if name == "test_id":
                probabilities = logits.double().softmax(dim=1)
                spread = (probabilities.amax(dim=0) - probabilities.amin(dim=0)).max().item()
                scores["collapsed"] = spread < COLLAPSED_SPREAD
        return scores

    def localise(self, config: TrialConfig | None = None) -> Localised:
        """Attribution maps of both test splits and their localisation scores, with the selected weights.

        Scored are the first `attribution_images` images that have a mask: with two classes those of class 1, whose
        logit is explained, as in the paper; with more, of all classes, each by its own logit. Each of `metrics` also on
        two random halves of them; metrics that are tuned look at as many images of valid_id. Under
        `randomisation_check` the maps of test_id are also held against those of random weights. Of the trial's own
        configuration, or of another `config` that the trial was given.
        """
        config = config or self.config
        self._use_weights(config)
        scores: dict[str, float | None] = {}
        arrays: dict[str, np.ndarray] = {}
        seconds: dict[str, float] = {}
        methods = {name: ATTRIBUTIONS[name](config, self.splits["train"].images) for name in config.attributions}
        random = random_model(self.model, config) if config.randomisation_check else None
        metrics = self._metrics(config, methods)
        for name in columns.SCORED_SPLITS:
            scored = self._scored(name, config)
            images, labels = scored.images, scored.labels
            scores[columns.chance_iou(name)] = mean_defined(chance_iou(scored.masks))
            arrays["labels"] = labels[:KEPT_MAPS].cpu().numpy()
            arrays[f"{name}.images"] = images[:KEPT_MAPS].cpu().numpy().astype(np.float16)
            arrays[f"{name}.masks"] = scored.masks[:KEPT_MAPS].cpu().numpy()
            arrays[f"{name}.distractors"] = scored.distractors[:KEPT_MAPS].cpu().numpy()
            for attribution, method in methods.items():
                start = time.perf_counter()
                maps = method.maps(self.model, images, labels)
                if self.device.type == "cuda":
                    torch.cuda.synchronize()
                column = columns.attribution_time(attribution)
                seconds[column] = seconds.get(column, 0.0) + time.perf_counter() - start
                if method.map_size is not None:
                    scores[columns.map_size(attribution)] = method.map_size
                if random is not None and name == columns.SCORED_SPLITS[0]:
                    check = randomisation_check(method, maps, method.maps(random, images, labels))
                    scores |= {columns.randomisation(what, attribution): value for what, value in check.items()}
                if config.faithfulness:
                    explained = Explained(self.model, method, images, labels, maps, config.seed)
                    for measure, score in FAITHFULNESS.items():
                        column = columns.faithfulness(name, measure, attribution)
                        scores[column] = mean_defined(score(explained))
                kept = scaled(maps[:KEPT_MAPS])
                arrays[f"{name}.map.{attribution}"] = kept.cpu().numpy().astype(np.float16)
                smooth = blur(maps, method.smoothing)
                for metric, localised in metrics[attribution].items():
                    column, values = columns.localisation(name, metric, attribution), localised(smooth, scored)
                    scores[column] = mean_defined(values)
                    for which, half in halves(len(values)).items():
                        scores[columns.half(column, which)] = mean_defined(values[half])
        return Localised(scores, arrays, seconds)

    def state_dict(self) -> dict[str, Any]:
        """All that training needs to go on from here to the same result."""
        return {
            "training_key": self.config.training_key,
            "epoch": self.epoch,
            "model_steps": self.model_steps,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "method": self.method.state_dict(),
            "order_rng": self.order_rng.get_state(),
            "best": {selection: best.state_dict() for selection, best in self.best.items()},
            "history": self.history,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`.

        Raises:
            ValueError: the state belongs to another training, or to this one without what is selected or reported here.
        """
        if state["training_key"] != self.config.training_key:
            raise ValueError(
                f"this checkpoint belongs to training {state['training_key']}, not to {self.config.training_key}; "
                "a checkpoint only continues the configuration that wrote it"
            )
        late: list[str] = [
            s for s, best in self.best.items() if s not in state["best"] and state["epoch"] > best.first_choice
        ]
        late += [preset for preset in self.history if preset not in state["history"]]
        if late:
            raise ValueError(f"this checkpoint of epoch {state['epoch']} was kept without {', '.join(late)}")
        self.epoch = state["epoch"]
        self.model_steps = state["model_steps"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.method.load_state_dict(state["method"])
        self.order_rng.set_state(state["order_rng"])
        for selection in self.best.keys() & state["best"].keys():
            self.best[selection].load_state_dict(state["best"][selection])
        self.history = {preset: list(state["history"][preset]) for preset in self.history}

    def next_order(self) -> Int[Tensor, " images"]:
        """The next epoch's order of the training images."""
        return torch.randperm(len(self.splits["train"]), generator=self.order_rng)

    def _batches(self) -> Iterator[Batch]:
        """The training images in a new random order, `batch_size` at a time; the last batch may be smaller."""
        train = self.splits["train"]
        method_rng = torch_stream("method", self.config.seed, self.epoch)
        for index in self.next_order().split(self.config.batch_size):
            yield Batch(
                train.images[index].to(self.device),
                train.labels[index].to(self.device),
                self.train_masks[index].to(self.device),
                method_rng,
                train.cues[index].to(self.device),
            )

    def _scored(self, name: str, config: TrialConfig) -> Scored:
        split = self.splits[name]
        index = scored_images(split, self.classes, config.attribution_images)
        parts = split.images, split.labels, split.masks[:, 0], split.distractors[:, 0]
        return Scored(*(part[index].to(self.device) for part in parts))

    def _metrics(self, config: TrialConfig, methods: Mapping[str, Attribution]) -> dict[str, dict[str, Metric]]:
        """Per attribution the configuration's metrics by name; those that are tuned know its validation maps."""
        plain: dict[str, Metric] = {name: partial(_metric, name) for name in config.metrics if name in LOCALISATION}
        tuned = [name for name in config.metrics if name in TUNED]
        if not tuned:
            return dict.fromkeys(methods, plain)
        metrics: dict[str, dict[str, Metric]] = {}
        valid = self._scored("valid_id", config)
        for attribution, method in methods.items():
            maps = blur(method.maps(self.model, valid.images, valid.labels), method.smoothing)
            known: dict[str, Metric] = {name: partial(_tuned, name, maps, valid.masks) for name in tuned}
            metrics[attribution] = {**plain, **known}
        return metrics

    def _logits(self, split: Split) -> Float[Tensor, "images classes"]:
        self.model.eval()
        with torch.no_grad():
            parts = [self.model(x.to(self.device)).logits.cpu() for x in split.images.split(IMAGES_AT_ONCE)]
        return torch.cat(parts)

    def _performance(self, name: str) -> dict[Preset, dict[str, float]]:
        split = self.splits[name]
        logits = self._logits(split)
        return {
            preset: {
                columns.performance(name, measure): value
                for measure, value in performance(logits, split.labels, preset).items()
            }
            for preset in self.history
        }

    def _select(self, metrics: dict[str, float]) -> None:
        """Keep this epoch's weights, in one copy, for each selection rule that prefers it to those before."""
        preferring = [best for best in self.best.values() if best.prefers(self.epoch, metrics)]
        weights = copy.deepcopy(self.model.state_dict()) if preferring else {}
        for best in preferring:
            best.keep(self.epoch, metrics, weights)

    def _use_weights(self, config: TrialConfig) -> None:
        self.model.load_state_dict(self.selected(config).weights)
        self.model.eval()


def _metric(name: str, maps: Tensor, scored: Scored) -> Tensor:
    return LOCALISATION[name](maps, scored.distractors if name in ON_DISTRACTOR else scored.masks)


def _tuned(name: str, valid_maps: Tensor, valid_masks: Tensor, maps: Tensor, scored: Scored) -> Tensor:
    return TUNED[name](maps, scored.masks, valid_maps, valid_masks)


def scored_images(split: Split, classes: int, most: int) -> Int[Tensor, " scored"]:
    """Indices of the images whose maps are scored: the first `most` with a mask, of class 1 if there are two."""
    eligible = split.masks.flatten(1).any(dim=1)
    if classes == 2:
        eligible = eligible & (split.labels == 1)
    chosen = eligible.nonzero()[:, 0]
    if classes == 2 or len(chosen) <= most:
        return chosen[:most]
    # Images may be sorted by class: a fixed shuffle spreads the choice over all classes, the same in both test splits.
    order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(stream_seed("scored images")))
    return chosen[order[:most]]


def halves(images: int) -> dict[int, Int[Tensor, " half"]]:
    """Two random halves of so many images, under 1 and 2: always the same ones, so that trials are comparable."""
    order = torch.randperm(images, generator=torch_stream("halves"))
    return {1: order[: images // 2], 2: order[images // 2 :]}


def mean_defined(scores: Float[Tensor, " images"]) -> float:
    """Mean over the images whose score is defined; NaN where none is."""
    return scores.nanmean().item()


def scaled(maps: Float[Tensor, "images height width"]) -> Float[Tensor, "images height width"]:
    """Each map divided by its maximum, so that half precision holds it; an all-zero map stays zero."""
    peak = maps.flatten(1).amax(dim=1)[:, None, None]
    return maps / torch.where(peak > 0, peak, torch.ones_like(peak))


def use_one_thread() -> None:
    """Settings of a process that runs trials.

    One thread, no denormals, which slow convolutions manyfold, and memory that is kept.
    """
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def use_gpu(share: float) -> str:
    """Settings of a process that has a GPU or a share of one; the device's name.

    Trials on one GPU do not see each other's memory, so each is held to its share of it.
    """
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    if share < 1:
        torch.cuda.set_per_process_memory_fraction(share)
    return "cuda"
