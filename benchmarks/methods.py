"""Time of a training step of each method relative to the baseline's: the source of trainables/methods/costs.json.

    python -m benchmarks.methods --write                                            # small_cnn
    python -m benchmarks.methods --model resnet18 --rounds 5 --n-train 96 --write
    make docs                                                                       # puts them into docs/methods.md

`--only rrr --only energy` measures some methods; `--write` then replaces their entries in the file. Methods take
turns, and processor time of the training steps is measured, so that a busy machine disturbs all alike and little; the
ratio of medians is printed. Work that a method does only in its last epoch, or after it, is not included.
"""

import os
import platform
import statistics
import sys
import time
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

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
    """The value of `time.process_time()`."""

    def end_epoch(self, classification: float, penalty: float) -> dict[str, float]:
        self.stepped_at = time.process_time()
        return super().end_epoch(classification, penalty)


def check_methods(names: list[str] | None) -> list[str]:
    """These methods and the baseline, which they are compared with; all methods if none is named.

    Raises:
        typer.BadParameter: there is no such method.
    """
    for name in names or ():
        if name not in METHODS:
            raise typer.BadParameter(f"unknown method {name!r}; choose from {', '.join(METHODS)}")
    return list(dict.fromkeys(["baseline", *(names or METHODS)]))


def trial_of(method: str, model: str, n_train: int) -> TimedTrial:
    """A new trial of this method, at strength 1 if it has a penalty."""
    settings = {"method": method, "strength": float(METHODS[method].has_penalty), "model": model, "n_train": n_train}
    return TimedTrial(resolve({**settings, "n_valid": 8, "n_test": 8, **SETTINGS.get((method, model), {})}))


def seconds_a_step(method: str, model: str, n_train: int) -> float:
    """Processor time of a training step of 32 images, a mean over one epoch of `n_train`.

    Raises:
        DivergedError: a loss is not finite.
    """
    trial = trial_of(method, model, n_train)
    start = time.process_time()
    trial.train_epoch()
    return (trial.stepped_at - start) * trial.config.batch_size / n_train


def machine() -> str:
    """The processor and the versions of the measurement."""
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = next(iter(names), cpu)
    return f"{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}"


def main(
    rounds: Annotated[int, typer.Option(min=1, help="epochs of each method; the median counts")] = 5,
    n_train: Annotated[int, typer.Option(min=32, help="images of an epoch; batches have 32")] = 320,
    model: Annotated[str, typer.Option(help="a name in MODELS")] = "small_cnn",
    only: Annotated[list[str] | None, typer.Option(help="of this method and the baseline; may be given again")] = None,
    write_file: Annotated[bool, typer.Option("--write", help="put the ratios into costs.json")] = False,
) -> None:
    """Train one epoch of each method in turn, `rounds` times, and print seconds a step and the ratio."""
    use_one_thread()
    if model not in MODELS:
        raise typer.BadParameter(f"unknown model {model!r}; choose from {', '.join(MODELS)}")
    chosen = check_methods(only)
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    diverged: dict[str, DivergedError] = {}
    # The first steps of a process are slower.
    seconds_a_step("baseline", model, 64)
    for _ in range(rounds):
        for name in chosen:
            if name in diverged:
                continue
            try:
                seconds[name].append(seconds_a_step(name, model, n_train))
            except DivergedError as error:
                diverged[name] = error
    medians = {name: statistics.median(values) for name, values in seconds.items() if name not in diverged}
    ratios = {name: median / medians["baseline"] for name, median in medians.items()}
    for name, median in sorted(medians.items(), key=lambda item: item[1]):
        print(f"{name:26} {1000 * median:8.1f} ms a step of 32 images   {ratios[name]:5.2f} x baseline")
    for name, reason in diverged.items():
        print(f"{name:26} diverges: {reason}")
    if write_file:
        costs: dict[str, Cost] = {name: round(ratio, 1) for name, ratio in sorted(ratios.items())}
        costs |= dict.fromkeys(diverged, "diverges")
        arguments = " ".join(argument for argument in sys.argv[1:] if argument != "--write")
        command = f"python -m benchmarks.methods {arguments}".strip()
        # Methods of other packages declare their cost themselves.
        built_in = {name: cost for name, cost in costs.items() if name in METHODS.builtin}
        add(Measurement(model, date.today().isoformat(), machine(), command, built_in))


if __name__ == "__main__":
    typer.run(main)
