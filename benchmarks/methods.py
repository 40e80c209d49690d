"""Time of a training step of each method relative to the baseline's: the source of `Method.relative_cost`.

Run `python -m benchmarks.methods`, or for some methods `python -m benchmarks.methods --only rrr --only energy`. Methods
take turns, and processor time is measured, so that a busy machine disturbs them little and all alike; the ratio of
medians is printed.
"""

import statistics
import time
from typing import Annotated

import typer

from trainables import METHODS, Trial, TrialConfig
from trainables.trial import use_one_thread

SMALL_DISCRIMINATOR = {"disc_width": 128}


def check_methods(names: list[str] | None) -> list[str]:
    """These methods; none named: all.

    Raises:
        typer.BadParameter: there is no such method.
    """
    for name in names or ():
        if name not in METHODS:
            raise typer.BadParameter(f"unknown method {name!r}; choose from {', '.join(METHODS)}")
    return list(names or METHODS)


def trial_of(method: str, model: str, n_train: int) -> Trial:
    """A new trial of this method, at strength 1 where it has a penalty, whose epoch is almost all training."""
    settings = {"method": method, "strength": float(METHODS[method].has_penalty), "model": model, "n_train": n_train}
    if method == "adversarial" and model == "small_cnn":
        settings |= SMALL_DISCRIMINATOR
    return Trial(TrialConfig.parse({**settings, "n_valid": 8, "n_test": 8}))


def main(
    rounds: int = 5,
    n_train: int = 320,
    model: str = "small_cnn",
    only: Annotated[list[str] | None, typer.Option(help="of this method and the baseline; may be given again")] = None,
) -> None:
    """Train one epoch of each method in turn, `rounds` times, and print seconds a step and the ratio."""
    use_one_thread()
    chosen = check_methods(only)
    if "baseline" not in chosen:
        chosen = ["baseline", *chosen]
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(rounds):
        for name in chosen:
            trial = trial_of(name, model, n_train)
            start = time.process_time()
            trial.train_epoch()
            seconds[name].append((time.process_time() - start) * trial.config.batch_size / n_train)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in sorted(medians.items(), key=lambda item: item[1]):
        print(f"{name:20} {1000 * median:8.1f} ms a step of 32 images   {median / medians['baseline']:5.2f} x baseline")


if __name__ == "__main__":
    typer.run(main)
