"""Speed of attributions: all images together, compared with captum on one image at a time, and their share of a trial.

Run `python -m benchmarks.attribution`, or `--model resnet18 --images 8`. The two ways take turns on the same images, so
that a noisy machine disturbs both alike. Printed are medians of one thread's processor time, and the share of maps and
scores in trials of the space `laptop`.
"""

import statistics
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import torch
import typer
from captum.attr import IntegratedGradients, Occlusion, Saliency
from torch import Tensor

from benchmarks import processor_seconds
from search_spaces import SPACES
from search_spaces.strengths import PAPER_METHODS
from trainables import Trial, resolve
from trainables.core.process import use_one_thread
from trainables.saliency.attribution import ATTRIBUTIONS
from trainables.saliency.attribution.attribution import Logits
from trainables.saliency.attribution.perturbation import window_size


def one_at_a_time(name: str, trial: Trial, images: Tensor, labels: Tensor) -> None:
    """Maps as in captum's documentation, one image after the other."""
    model = Logits(trial.model)
    side = window_size(min(images.shape[2:]))
    window = (images.shape[1], side, side)
    for image, label in zip(images.split(1), labels.tolist(), strict=True):
        if name == "input_gradient":
            Saliency(model).attribute(image.clone().requires_grad_(), target=label)
        elif name == "integrated_gradients":
            steps = trial.config.integrated_gradients_steps
            IntegratedGradients(model).attribute(image, target=label, n_steps=steps)
        else:
            Occlusion(model).attribute(image, target=label, sliding_window_shapes=window, strides=window)


def compare(dataset: str, model: str, images: int, rounds: int) -> None:
    """Print the seconds of both ways by attribution, on a model that was trained for an epoch."""
    trial = Trial(resolve({"dataset": dataset, "model": model, "epochs": 1}))
    trial.train_epoch()
    trial.model.eval()
    split = trial.splits["test_ood"]
    chosen = (split.labels == 1).nonzero()[:images, 0]
    x, y = split.images[chosen], split.labels[chosen]
    rows: dict[str, list[float]] = {}
    print(f"\n{dataset}, {model}, {len(x)} images, one thread")
    print(f"{'attribution':24}{'ours, s':>10}{'captum, s':>11}{'ratio':>8}")
    for name in trial.config.attributions:
        ours = ATTRIBUTIONS[name](trial.config)
        ways = (partial(ours.maps, trial.model, x, y), partial(one_at_a_time, name, trial, x, y))
        turns = [[processor_seconds(way) for way in ways] for _ in range(rounds)]
        rows[name] = [statistics.median(seconds) for seconds in zip(*turns, strict=True)]
    rows["all three"] = [sum(seconds) for seconds in zip(*rows.values(), strict=True)]
    for name, (together, single) in rows.items():
        print(f"{name:24}{together:10.3f}{single:11.3f}{single / together:8.1f}")


def share(dataset: str, methods: Sequence[str]) -> None:
    """Print the share of maps and scores in a trial of the space `laptop`, by method."""
    print(f"\n{dataset}, a trial of the space laptop")
    print(f"{'method':24}{'train, s':>10}{'test, s':>9}{'maps, s':>9}{'share':>8}")
    for method in methods:
        wanted = {"dataset": dataset, "method": method, "severity": 1}
        settings: dict[str, Any] = next(s for s in SPACES["laptop"]().trials if wanted.items() <= s.items())
        trial = Trial(resolve(settings))
        train = sum(processor_seconds(trial.train_epoch) for _ in range(trial.config.epochs))
        test = processor_seconds(trial.evaluate)
        maps = processor_seconds(trial.localise)
        print(f"{method:24}{train:10.2f}{test:9.2f}{maps:9.2f}{maps / (train + test + maps):8.0%}")


def main(
    model: str = "small_cnn",
    images: int = 64,
    rounds: int = 3,
    only: Annotated[list[str] | None, typer.Option(help="share of this method's trials; may be given again")] = None,
) -> None:
    """Compare on a dark and a bright dataset, then print the share of a trial of each of the paper's methods."""
    use_one_thread()
    for name in only or ():
        if name not in PAPER_METHODS:
            raise typer.BadParameter(
                f"method {name!r} is not in the space laptop; choose from {', '.join(PAPER_METHODS)}"
            )
    torch.manual_seed(0)
    for dataset in ("synthetic", "digits_on_photos"):
        compare(dataset, model, images, rounds)
    if model == "small_cnn":
        for dataset in ("synthetic", "digits_on_photos"):
            share(dataset, only or PAPER_METHODS)


if __name__ == "__main__":
    typer.run(main)
