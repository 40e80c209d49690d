"""Compare the results of a device with the processor: arithmetic, every method, attribution and measure.

The device is a name, so that tests/trainables/test_other_device.py can run every check without a GPU.
"""

import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from records import columns
from trainables import ATTRIBUTIONS, LOCALISATION, METHODS, MODELS, Trial, TrialConfig, resolve
from trainables.core.config import Precision, Preset
from trainables.saliency.attribution.randomisation import random_model, randomisation_check
from trainables.saliency.faithfulness import FAITHFULNESS, Explained
from trainables.saliency.localisation import TUNED
from trainables.saliency.localisation.blur import blur
from trainables.trial.evaluate import logits_of, probes
from trainables.trial.explain import Scored, score_maps
from trainables.trial.train import train_epoch
from trainables.trial.training import Training

SMALL = {
    **{"n_train": 48, "n_valid": 16, "n_test": 32, "epochs": 2, "batch_size": 16, "severity": 0.5},
    **{"attribution_images": 8, "integrated_gradients_steps": 4, "attribution_passes": 12, "selection_warmup": 0},
}
ARITHMETIC = 1e-5
"""Largest relative difference of one convolution or product in float32. TF32, of 10 bits, differs by about 3e-4."""
STEP = {"float32": 1e-3, "bfloat16": 0.3}
"""Tolerance for the losses and the gradient of a training step, by precision. Methods that follow the sign of a
gradient differ by a tenth in bfloat16."""
TRIAL = 0.1
"""Tolerance for the losses of a trial, in which differences in rounding grow with every step."""
MAPS = 1e-2
"""Tolerance for maps by the same weights; some are small differences of large scores."""
SCORES = 1e-4
"""Tolerance for the scores of the same maps, and for logits by the same weights."""


@dataclass(frozen=True)
class Comparison:
    """One line of the result."""

    part: str
    name: str
    difference: float = math.nan
    """Relative difference, or the number of differing columns; NaN if the device raised an error."""
    tolerance: float = 0.0
    error: str = ""

    @property
    def holds(self) -> bool:
        return self.difference <= self.tolerance


@dataclass(frozen=True)
class Check:
    """A computation whose results on the processor and on a device are compared."""

    part: str
    name: str
    compare: Callable[[str], Iterator[Comparison]]

    def run(self, device: str) -> list[Comparison]:
        """The comparisons; the last one has the error if the device raises one."""
        compared: list[Comparison] = []
        try:
            compared.extend(self.compare(device))
        except Exception as error:
            compared.append(Comparison(self.part, self.name, error=one_line(error)))
        return compared


def one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


OTHER_NETWORKS = ("timm:resnet10t", "torchvision:mobilenet_v3_small")
"""A network of each library that takes small images."""


def checks() -> list[Check]:
    """All checks: one for each entry of the registries, plug-ins included.

    Of each method a step under each preset, on each model and in each precision, and a trial under each preset.
    """
    presets = [{"preset": preset} for preset in get_args(Preset)]
    others = [{"model": model} for model in MODELS if model != "small_cnn"]
    others += [{"precision": precision} for precision in get_args(Precision) if precision != "float32"]
    trials = [("step", compare_steps, each) for each in presets + others]
    trials += [("trial", compare_trials, each) for each in presets]
    computed: tuple[tuple[str, Callable[[str, str], dict[str, Tensor]], float, Iterable[str]], ...] = (
        ("maps", maps_and_randomisation, MAPS, ATTRIBUTIONS),
        ("scores", localisation, SCORES, (*LOCALISATION, *TUNED)),
        ("scores", faithfulness, MAPS, FAITHFULNESS),
        ("scores", logits, SCORES, (*MODELS, *OTHER_NETWORKS)),
        ("scores", probe_scores, MAPS, MODELS),
    )
    on_timm = {"model": OTHER_NETWORKS[0]}
    return [
        Check("arithmetic", "convolution and product", compare_arithmetic),
        *(
            Check(part, named(method, settings), partial(work, method, settings))
            for method in METHODS
            for part, work, settings in trials
        ),
        *(
            Check("step", named(method, on_timm), partial(compare_steps, method, on_timm))
            for method in ("baseline", "rrr", "hint")
        ),
        *(
            Check(part, name, partial(compare, part, partial(compute, name), tolerance))
            for part, compute, tolerance, names in computed
            for name in names
        ),
    ]


def named(method: str, settings: Mapping[str, str]) -> str:
    """A method and the settings that are not at their default."""
    return ", ".join([method, *settings.values()])


def distance(values: Tensor, expected: Tensor) -> float:
    """|values − expected| / |expected|, Euclidean; infinite if only one of two values is NaN."""
    a, b = values.detach().cpu().double(), expected.detach().cpu().double()
    if not torch.equal(a.isnan(), b.isnan()):
        return math.inf
    apart = (a - b).nan_to_num().norm().item()
    return apart / b.nan_to_num().norm().item() if apart else 0.0


def compare_arithmetic(device: str) -> Iterator[Comparison]:
    """A convolution with its first and second derivatives, and a product of matrices, against double precision."""
    rng = torch.Generator().manual_seed(0)
    images, kernel = torch.randn(8, 16, 28, 28, generator=rng), torch.randn(32, 16, 3, 3, generator=rng)
    expected = derivatives(images.double(), kernel.double())
    for name, values in derivatives(images.to(device), kernel.to(device)).items():
        yield Comparison("arithmetic", name, distance(values, expected[name]), ARITHMETIC)
    a, b = torch.randn(256, 512, generator=rng), torch.randn(512, 256, generator=rng)
    product = distance(a.to(device) @ b.to(device), a.double() @ b.double())
    yield Comparison("arithmetic", "product of matrices", product, ARITHMETIC)


def derivatives(images: Tensor, kernel: Tensor) -> dict[str, Tensor]:
    """A convolution, the gradient of its sum of cubes, and the gradient of that gradient's sum of squares."""
    images, kernel = images.clone().requires_grad_(), kernel.clone().requires_grad_()
    result = conv2d(images, kernel, padding=1)
    (first,) = torch.autograd.grad(result.pow(3).sum(), images, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), kernel)
    return {"convolution": result, "its gradient": first, "its second gradient": second}


def configuration(method: str = "baseline", model: str = "small_cnn", **settings: Any) -> TrialConfig:
    """A trial of a few seconds, at strength 1 if the method has a penalty."""
    fitting = METHODS[method].contract_settings(model) | ({} if model == "small_cnn" else {"batch_size": 4})
    strength = float(METHODS[method].has_penalty)
    return resolve({**SMALL, **fitting, "method": method, "model": model, "strength": strength, **settings})


def compare_steps(method: str, settings: Mapping[str, str], device: str) -> Iterator[Comparison]:
    """The losses and the gradient of the first training step, from the same initial weights."""
    config = configuration(method, **settings)
    here, there = first_step(config, device), first_step(config, "cpu")
    yield Comparison("step", named(method, settings), max(map(distance, here, there)), STEP[config.precision])


def first_step(config: TrialConfig, device: str) -> tuple[Tensor, Tensor]:
    """The classification loss with the penalty, and the gradient of the total by all weights."""
    trial = Trial(config, device)
    batch = next(trial.batches())
    losses = train_epoch(trial.model, trial.method, trial.optimizer, [batch], config.precision, epoch=0)
    gradient = [parameter.grad for parameter in trial.model.parameters() if parameter.grad is not None]
    return torch.tensor(losses[:2]), torch.cat([part.cpu().flatten() for part in gradient])


def compare_trials(method: str, settings: Mapping[str, str], device: str) -> Iterator[Comparison]:
    """Whole trials: compared with the processor, repeated, and resumed after their first epoch."""
    config, name = configuration(method, **settings), named(method, settings)
    scores = trained(config, device)
    losses = [column for column in scores if column.endswith((".loss", ".penalty"))]
    here, there = (torch.tensor([each[column] for column in losses]) for each in (scores, trained(config, "cpu")))
    yield Comparison("trial", name, distance(here, there), TRIAL)
    yield Comparison("repeated", name, differing(trained(config, device), scores))
    yield Comparison("resumed", name, differing(trained(config, device, resumed=True), scores))


def trained(config: TrialConfig, device: str, resumed: bool = False) -> dict[str, Any]:
    """All results of a trial except times, by column, epoch and array.

    If `resumed`, a new trial continues from a checkpoint of the first epoch.
    """
    training = Training((config,), device)
    scores: dict[str, Any] = {f"0 {name}": value for name, value in training.train_epoch().items()}
    if resumed:
        checkpoint = io.BytesIO()
        torch.save(training.state(), checkpoint)
        checkpoint.seek(0)
        training = Training((config,), device)
        training.restore(torch.load(checkpoint, weights_only=True, map_location="cpu"))
    scores |= {f"1 {name}": value for name, value in training.train_epoch().items()}
    record, localised = training.score(config)
    scores |= {name: value for name, value in record.items() if not columns.is_run_specific(name)}
    return scores | localised.arrays


def differing(scores: Mapping[str, Any], expected: Mapping[str, Any]) -> float:
    """The number of columns and arrays that are not equal bit for bit."""

    def bits(value: Any) -> Any:
        array = np.asarray(value)
        return array.tolist() if array.dtype.kind in "OU" else array.tobytes()

    return float(sum(bits(scores.get(name)) != bits(expected.get(name)) for name in scores.keys() | expected.keys()))


@cache
def explained(device: str, model: str = "small_cnn") -> tuple[Trial, Scored]:
    """A trial with weights that the processor trained, on `device`, and the images whose maps are scored."""
    trial = Trial(configuration(model=model), device)
    if device == "cpu":
        while not trial.finished:
            trial.train_epoch()
    else:
        checkpoint, _ = explained("cpu", model)
        trial.load_state_dict(checkpoint.state_dict())
    trial.model.eval()
    return trial, Scored.of(trial.splits["test_ood"], trial.classes, trial.config, trial.device)


def compare(
    part: str, compute: Callable[[str], dict[str, Tensor]], tolerance: float, device: str
) -> Iterator[Comparison]:
    """What `compute` gives on the device and on the processor."""
    expected = compute("cpu")
    for name, values in compute(device).items():
        yield Comparison(part, name, distance(values, expected[name]), tolerance)


def maps_of(attribution: str, device: str) -> Tensor:
    trial, scored = explained(device)
    method = ATTRIBUTIONS[attribution](trial.config, trial.splits["train"].images)
    return method.maps(trial.model, scored.images, scored.labels)


def maps_and_randomisation(attribution: str, device: str) -> dict[str, Tensor]:
    """Maps by the same weights, and their randomisation check."""
    trial, scored = explained(device)
    method = ATTRIBUTIONS[attribution](trial.config, trial.splits["train"].images)
    random, maps = random_model(trial.model, trial.config), maps_of(attribution, device)
    check = randomisation_check(method, maps, method.maps(random, scored.images, scored.labels))
    return {attribution: maps, f"{attribution}, randomisation check": torch.tensor(list(check.values())[:2])}


def localisation(metric: str, device: str) -> dict[str, Tensor]:
    """A localisation metric of the processor's maps."""
    _, scored = explained(device)
    maps = blur(maps_of("input_gradient", "cpu").to(device), 1.0)
    return {metric: score_maps(metric, maps, scored, tuned_on=(maps, scored.masks))}


def faithfulness(measure: str, device: str) -> dict[str, Tensor]:
    """A measure of faithfulness of the processor's maps."""
    trial, scored = explained(device)
    attribution, maps = ATTRIBUTIONS["input_gradient"](trial.config), maps_of("input_gradient", "cpu").to(device)
    return {measure: FAITHFULNESS[measure](Explained(trial.model, attribution, scored.images, scored.labels, maps, 0))}


def logits(model: str, device: str) -> dict[str, Tensor]:
    """Logits by the same weights."""
    trial, _ = explained(device, model)
    return {f"logits of {model}": logits_of(trial.model, trial.splits["test_id"].images)}


def probe_scores(model: str, device: str) -> dict[str, Tensor]:
    trial, _ = explained(device, model)
    scores = probes(trial.model, trial.splits["test_id"], trial.config.data_seed, trial.config.preset)
    return {f"probes of {model}": torch.tensor(list(scores.values()))}
