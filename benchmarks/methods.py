"""Time of a training step of each method relative to the baseline's: the source of trainables/methods/costs.json.

    python -m benchmarks.methods --write                                            # small_cnn
    python -m benchmarks.methods --model resnet18 --rounds 5 --n-train 96 --write
    make docs                                                                       # puts them into docs/methods.md

`--only rrr --only energy` measures some methods; `--write` then replaces their entries in the file. The ratio of
medians of the training steps' processor time is printed. Work that a method does only in its last epoch, or after it,
is not included.
"""

import math
import sys
import time
from collections.abc import Iterable
from datetime import date
from functools import partial
from typing import Annotated, Any

import typer

from benchmarks.timing import Methods, in_turn, machine
from trainables import METHODS, MODELS, DivergedError, Trial, resolve
from trainables.core.process import use_one_thread
from trainables.methods.costs import Cost, Measurement, add

SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    # As in the spaces, whose model is the small one.
    ("adversarial", "small_cnn"): {"disc_width": 128},
    # At the default the bounds are too wide to train on; a step takes as long.
    ("ibp_ex", "resnet18"): {"ibp_epsilon": 1e-24},
}
"""Settings that are not at their default, by method and model."""


class TimedTrial(Trial):
    """A trial that notes when its training steps ended, before the validation, which costs the same for all methods."""

    stepped_at = 0.0

    def end_epoch(self, classification: float, penalty: float) -> dict[str, float]:
        self.stepped_at = time.process_time()
        return super().end_epoch(classification, penalty)


def check_methods(names: list[str] | None, allowed: Iterable[str] = METHODS) -> list[str]:
    """These methods and the baseline, which they are compared with; all methods if none is named."""
    for name in names or ():
        if name not in allowed:
            raise typer.BadParameter(f"unknown method {name!r}; choose from {', '.join(allowed)}")
    return list(dict.fromkeys(["baseline", *(names or allowed)]))


def trial_of(method: str, model: str, n_train: int) -> TimedTrial:
    """A new trial of this method, at strength 1 if it has a penalty."""
    settings = {"method": method, "strength": float(METHODS[method].has_penalty), "model": model, "n_train": n_train}
    return TimedTrial(resolve({**settings, "n_valid": 8, "n_test": 8, **SETTINGS.get((method, model), {})}))


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Epochs of each method.")] = 5,
    n_train: Annotated[int, typer.Option(min=32, help="Images of an epoch; batches have 32.")] = 320,
    model: Annotated[str, typer.Option(help="A name in MODELS.")] = "small_cnn",
    only: Methods = None,
    write_file: Annotated[bool, typer.Option("--write", help="Put the ratios into costs.json.")] = False,
) -> None:
    """Train one epoch of each method in turn, `rounds` times, and print seconds a step and the ratio."""
    use_one_thread()
    if model not in MODELS:
        raise typer.BadParameter(f"unknown model {model!r}; choose from {', '.join(MODELS)}")
    diverged: dict[str, DivergedError] = {}

    def seconds_a_step(method: str, images: int = n_train) -> float:
        """Mean processor time of an epoch's training steps; NaN if a loss is not finite."""
        trial = trial_of(method, model, images)
        start = time.process_time()
        try:
            trial.train_epoch()
        except DivergedError as error:
            diverged[method] = error
            return math.nan
        return (trial.stepped_at - start) * trial.config.batch_size / images

    # The first steps of a process are slower.
    seconds_a_step("baseline", 64)
    seconds = in_turn({name: partial(seconds_a_step, name) for name in check_methods(only)}, rounds).median()
    ratios = (seconds / seconds["baseline"]).drop(list(diverged))
    for name, ratio in ratios.sort_values().items():
        print(f"{name:26} {1000 * seconds[name]:8.1f} ms a step of 32 images   {ratio:5.2f} x baseline")
    for name, reason in diverged.items():
        print(f"{name:26} diverges: {reason}")
    if write_file:
        costs: dict[str, Cost] = {name: round(float(ratio), 1) for name, ratio in ratios.sort_index().items()}
        costs |= dict.fromkeys(diverged, "diverges")
        arguments = [argument for argument in sys.argv[1:] if argument != "--write"]
        command = " ".join(["python -m benchmarks.methods", *arguments])
        # Methods of other packages declare their cost themselves.
        built_in = {name: cost for name, cost in costs.items() if name in METHODS.builtin}
        add(Measurement(model, date.today().isoformat(), machine(), command, built_in))


if __name__ == "__main__":
    typer.run(main)
