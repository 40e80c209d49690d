"""Speed of attributions: all images together, compared with captum on one image at a time, and their share of a trial.

Run `python -m benchmarks.attribution`, or `--model resnet18 --images 8`. Printed are medians of one thread's processor
time on the same images, and the share of maps and scores in trials of the space `laptop`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import torch
import typer
from captum.attr import IntegratedGradients, Occlusion, Saliency
from torch import Tensor

from benchmarks.methods import check_methods
from benchmarks.timing import Methods, in_turn, print_table, processor_seconds
from search_spaces import SPACES
from search_spaces.strengths import PAPER_METHODS
from trainables import Trial, resolve
from trainables.core.process import use_one_thread
from trainables.saliency.attribution import ATTRIBUTIONS
from trainables.saliency.attribution.attribution import Logits
from trainables.saliency.attribution.perturbation import window_size


def one_at_a_time(name: str, trial: Trial, images: Tensor, labels: Tensor) -> None:
    """Maps as in captum's documentation, one image after the other."""
    model, side = Logits(trial.model), window_size(min(images.shape[2:]))
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
    rows = (split.labels == 1).nonzero()[:images, 0]
    x, y = split.images[rows], split.labels[rows]
    ways = {}
    for name in trial.config.attributions:
        ours = partial(ATTRIBUTIONS[name](trial.config).maps, trial.model, x, y)
        ways[name, "ours"] = partial(processor_seconds, ours)
        ways[name, "captum"] = partial(processor_seconds, partial(one_at_a_time, name, trial, x, y))
    seconds = in_turn(ways, rounds).median().unstack()
    seconds.loc["all"] = seconds.sum()
    print(f"\n{dataset}, {model}, {len(x)} images, one thread; seconds")
    print_table(seconds.assign(ratio=seconds["captum"] / seconds["ours"]), digits=3)


def share(dataset: str, methods: Sequence[str]) -> None:
    """Print the share of maps and scores in a trial of the space `laptop`, by method."""
    rows = {}
    for method in methods:
        wanted = {"dataset": dataset, "method": method, "severity": 1}
        settings: dict[str, Any] = next(s for s in SPACES["laptop"]().trials if wanted.items() <= s.items())
        trial = Trial(resolve(settings))
        train = sum(processor_seconds(trial.train_epoch) for _ in range(trial.config.epochs))
        test, maps = processor_seconds(trial.evaluate), processor_seconds(trial.localise)
        rows[method] = {"train": train, "test": test, "maps": maps, "share of maps": maps / (train + test + maps)}
    print(f"\n{dataset}, a trial of the space laptop; seconds")
    print_table(pd.DataFrame(rows).T)


def main(model: str = "small_cnn", images: int = 64, rounds: int = 3, only: Methods = None) -> None:
    """Compare on a dark and a bright dataset, then print the share of a trial of each of the paper's methods."""
    use_one_thread()
    check_methods(only, PAPER_METHODS)
    torch.manual_seed(0)
    for dataset in ("synthetic", "digits_on_photos"):
        compare(dataset, model, images, rounds)
    if model == "small_cnn":
        for dataset in ("synthetic", "digits_on_photos"):
            share(dataset, only or PAPER_METHODS)


if __name__ == "__main__":
    typer.run(main)
