"""Explanation: attribution maps of test images, and their localisation, faithfulness and randomisation scores."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from records import columns
from trainables.core.config import TrialConfig
from trainables.core.shapes import Images, Labels, Maps, Masks, PerImage
from trainables.core.streams import torch_stream
from trainables.datasets import Split
from trainables.models import Classifier
from trainables.saliency.attribution import ATTRIBUTIONS
from trainables.saliency.attribution.attribution import maps_of
from trainables.saliency.attribution.randomisation import random_model, randomisation_check
from trainables.saliency.faithfulness import FAITHFULNESS, Explained
from trainables.saliency.localisation import LOCALISATION, TUNED, chance_iou, traits_of
from trainables.saliency.localisation.blur import blur
from trainables.saliency.localisation.overlap import predicted_region
from trainables.trial.evaluate import binary_auc, halves, logits_of

KEPT_MAPS = 8
"""Maps per split that are kept as pictures; scores use `attribution_images` maps."""
CORRECTNESS_METRIC = "iou"
"""The localisation metric that is compared with the model's answers image by image."""
MIN_ANSWERS = 5
"""Right answers, and wrong answers, that this comparison needs."""


@dataclass(frozen=True)
class Localised:
    """Scores of the maps by record column, and the first maps of each split for the gallery."""

    scores: dict[str, float | None]
    arrays: dict[str, np.ndarray]
    """For the first N <= M scored images of each split: `<split>.images [N, C, H, W]` (float16; 0 is black, 1 white),
    `<split>.masks` and `<split>.distractors` [N, H, W] (bool), `<split>.map.<attribution> [N, H, W]` (float16, not
    blurred) and `<split>.region.<attribution> [N, H, W]` (bool: the pixels that IoU compares with the mask, chosen from
    the blurred map). `labels [N]` are those of test_ood. `class_names [K]` (text) if the dataset names its classes.

    For all M scored images: `<split>.scored.index [M]` (place in the split), `<split>.scored.labels [M]`,
    `<split>.scored.predicted [M]` (the class with the highest logit), `<split>.scored.correct [M]` (bool: predicted is
    the label) and the scores, `<split>.scored.<metric>.<attribution> [M]` (float32, NaN where undefined)."""
    seconds: dict[str, float]
    """Wall-clock seconds for each attribution's maps, by record column."""


@dataclass(frozen=True)
class Scored:
    """The images of one split whose maps are scored, on the model's device, and the regions to score maps on."""

    index: Labels
    """Place in the split; on the processor."""
    images: Images
    labels: Labels
    masks: Masks
    distractors: Masks

    @classmethod
    def of(cls, split: Split, classes: int, config: TrialConfig, device: torch.device) -> "Scored":
        index = scored_images(split, classes, config.attribution_images)
        parts = split.images[index], split.labels[index], split.masks[index][:, 0], split.distractors[index][:, 0]
        return cls(index, *(part.to(device) for part in parts))


def localise(model: Classifier, splits: Mapping[str, Split], classes: int, config: TrialConfig) -> Localised:
    """Attribution maps of both test splits and their scores; the model must be in evaluation mode.

    The logit of an image's class is explained. Each metric is also computed on two random halves of the images, and IoU
    is compared with the model's answers image by image (`correctness_auroc`). Tuned metrics see as many images of
    valid_id. `randomisation_check` compares the maps of test_id with those of random weights.
    """
    device = next(model.parameters()).device
    scores: dict[str, float | None] = {}
    arrays: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}
    black, white = splits["train"].limits
    attributions = {name: ATTRIBUTIONS[name](config, splits["train"].images) for name in config.attributions}
    random = random_model(model, config) if config.randomisation_check else None
    tuned_on: dict[str, tuple[Tensor, Tensor]] = {}
    if set(config.metrics) & TUNED.keys():
        valid = Scored.of(splits["valid_id"], classes, config, device)
        for name, attribution in attributions.items():
            maps = maps_of(attribution, model, valid.images, valid.labels)
            tuned_on[name] = blur(maps, attribution.sigma), valid.masks
    for split in columns.SCORED_SPLITS:
        scored = Scored.of(splits[split], classes, config, device)
        scores[columns.chance_iou(split)] = mean_defined(chance_iou(scored.masks))
        predicted = logits_of(model, scored.images).argmax(dim=1)
        correct = predicted == scored.labels.cpu()
        arrays |= _images_and_answers(split, splits[split], scored, predicted)
        for name, attribution in attributions.items():
            start = time.perf_counter()
            maps = maps_of(attribution, model, scored.images, scored.labels)
            if device.type == "cuda":
                torch.cuda.synchronize()
            column = columns.attribution_time(name)
            seconds[column] = seconds.get(column, 0.0) + time.perf_counter() - start
            arrays[f"{split}.map.{name}"] = scaled(maps[:KEPT_MAPS]).half().cpu().numpy()
            if attribution.map_size is not None:
                scores[columns.map_size(name)] = attribution.map_size
            if random is not None and split == columns.SCORED_SPLITS[0]:
                others = maps_of(attribution, random, scored.images, scored.labels)
                check = randomisation_check(attribution, maps, others)
                scores |= {columns.randomisation(what, name): value for what, value in check.items()}
            if config.faithfulness:
                explained = Explained(
                    model, attribution, scored.images, scored.labels, maps, config.seed, span=white - black
                )
                for measure, score in FAITHFULNESS.items():
                    scores[columns.faithfulness(split, measure, name)] = mean_defined(score(explained))
            smooth = blur(maps, attribution.sigma)
            region = predicted_region(smooth[:KEPT_MAPS], scored.masks[:KEPT_MAPS])
            arrays[f"{split}.region.{name}"] = region.cpu().numpy()
            for metric in config.metrics:
                column = columns.localisation(split, metric, name)
                values = score_maps(metric, smooth, scored, tuned_on.get(name, ()))
                scores[column] = mean_defined(values)
                arrays[f"{split}.scored.{metric}.{name}"] = values.cpu().numpy().astype(np.float32)
                if metric == CORRECTNESS_METRIC:
                    scores[columns.correctness_auroc(split, metric, name)] = correctness_auroc(values.cpu(), correct)
                for which, half in halves(len(values)).items():
                    scores[columns.half(column, which)] = mean_defined(values[half])
    return Localised(scores, arrays, seconds)


def scored_images(split: Split, classes: int, most: int) -> Labels:
    """Indices of the images whose maps are scored: `most` images with a mask.

    With two classes they are the first of class 1, as in the paper; with more they are spread over all classes.
    """
    eligible = split.masked
    if classes == 2:
        eligible = eligible & (split.labels == 1)
    chosen = eligible.nonzero()[:, 0]
    if classes == 2 or len(chosen) <= most:
        return chosen[:most]
    # Images may be sorted by class. The shuffle is the same in both test splits.
    order = torch.randperm(len(chosen), generator=torch_stream("scored images"))
    return chosen[order[:most]]


def score_maps(metric: str, maps: Maps, scored: Scored, tuned_on: Sequence[Tensor] = ()) -> PerImage:
    """Score blurred maps of the scored images; `tuned_on` are the validation maps and masks for a tuned metric."""
    if metric in TUNED:
        return TUNED[metric](maps, scored.masks, *tuned_on)
    on_distractor = traits_of(LOCALISATION[metric]).on_distractor
    return LOCALISATION[metric](maps, scored.distractors if on_distractor else scored.masks)


def mean_defined(scores: PerImage) -> float:
    """Mean over the images whose score is defined; NaN if none is."""
    return scores.nanmean().item()


def correctness_auroc(scores: PerImage, correct: Bool[Tensor, " images"]) -> float:
    """Share of pairs of a right and a wrong answer in which the right one's map scores higher, a tie counting half.

    0.5 if maps say nothing about answers. Images without a score are left out. NaN with fewer than `MIN_ANSWERS` right
    or wrong answers.
    """
    defined = ~scores.isnan()
    scores, correct = scores[defined], correct[defined]
    if min(int(correct.sum()), int((~correct).sum())) < MIN_ANSWERS:
        return float("nan")
    return binary_auc(scores, correct)


def scaled(maps: Maps) -> Maps:
    """Each map divided by its maximum, so that half precision can hold it; an all-zero map stays zero."""
    peak = maps.flatten(1).amax(dim=1)[:, None, None]
    return maps / torch.where(peak > 0, peak, torch.ones_like(peak))


def _images_and_answers(name: str, split: Split, scored: Scored, predicted: Labels) -> dict[str, np.ndarray]:
    """The kept images of a split with their masks and class names, and the model's answers on all scored ones."""
    tensors = {
        "labels": scored.labels[:KEPT_MAPS],
        f"{name}.images": split.displayed(scored.images[:KEPT_MAPS]).half(),
        f"{name}.masks": scored.masks[:KEPT_MAPS],
        f"{name}.distractors": scored.distractors[:KEPT_MAPS],
        f"{name}.scored.index": scored.index,
        f"{name}.scored.labels": scored.labels,
        f"{name}.scored.predicted": predicted,
        f"{name}.scored.correct": predicted == scored.labels.cpu(),
    }
    names = {"class_names": np.array(split.class_names)} if split.class_names else {}
    return names | {key: tensor.cpu().numpy() for key, tensor in tensors.items()}
