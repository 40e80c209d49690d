"""How fast a trained model is scored: all images together against one at a time with captum, and its share of a trial.

Run `python -m benchmarks.attribution`, or `--model resnet18 --images 8`. The three attributions of a trial map the same
images in two ways that take turns, so that a noisy machine disturbs both alike; medians of one thread's processor time
are printed. Then the share that maps and their scores have of trials of the space `laptop`.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

import torch
import typer
from captum.attr import IntegratedGradients, Occlusion, Saliency
from torch import Tensor

from search_spaces import SPACES
from search_spaces.strengths import PAPER_METHODS
from trainables import Trial, resolve
from trainables.core.process import use_one_thread
from trainables.saliency.attribution import ATTRIBUTIONS
from trainables.saliency.attribution.attribution import Logits
from trainables.saliency.attribution.occlusion import window_size


def processor_seconds(work: Callable[[], object]) -> float:
    """Processor time of `work` in this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def one_at_a_time(name: str, trial: Trial, images: Tensor, labels: Tensor) -> None:
    """Maps as captum's documentation makes them, an image after the other."""
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


def train_all(trial: Trial) -> None:
    """All epochs of a trial."""
    while not trial.finished:
        trial.train_epoch()


def compare(dataset: str, model: str, images: int, rounds: int) -> None:
    """Print the seconds of both ways by attribution, on a model that was trained for an epoch."""
    trial = Trial(resolve({"dataset": dataset, "model": model, "epochs": 1}))
    trial.train_epoch()
    trial.model.eval()
    split = trial.splits["test_ood"]
    chosen = (split.labels == 1).nonzero()[:images, 0]
    x, y = split.images[chosen], split.labels[chosen]
    totals = {"ours": 0.0, "captum": 0.0}
    print(f"\n{dataset}, {model}, {len(x)} images, one thread")
    print(f"{'attribution':24}{'ours, s':>10}{'captum, s':>11}{'ratio':>8}")
    for name in trial.config.attributions:
        ours = ATTRIBUTIONS[name](trial.config)
        seconds: dict[str, list[float]] = {way: [] for way in totals}
        for _ in range(rounds):
            seconds["ours"].append(processor_seconds(partial(ours.maps, trial.model, x, y)))
            seconds["captum"].append(processor_seconds(partial(one_at_a_time, name, trial, x, y)))
        median = {way: statistics.median(values) for way, values in seconds.items()}
        totals = {way: totals[way] + median[way] for way in totals}
        print(f"{name:24}{median['ours']:10.3f}{median['captum']:11.3f}{median['captum'] / median['ours']:8.1f}")
    print(f"{'all three':24}{totals['ours']:10.3f}{totals['captum']:11.3f}{totals['captum'] / totals['ours']:8.1f}")


def share(dataset: str, methods: Sequence[str]) -> None:
    """Print what part of a trial of the space `laptop` its maps and scores take, by method."""
    print(f"\n{dataset}, a trial of the space laptop")
    print(f"{'method':24}{'train, s':>10}{'test, s':>9}{'maps, s':>9}{'share':>8}")
    for method in methods:
        settings: dict[str, Any] = next(
            s
            for s in SPACES["laptop"]().trials
            if (s["dataset"], s["method"]) == (dataset, method) and s["severity"] == 1
        )
        trial = Trial(resolve(settings))
        train = processor_seconds(partial(train_all, trial))
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
