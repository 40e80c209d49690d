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


def main(
    rounds: int = 5,
    n_train: int = 320,
    model: str = "small_cnn",
    only: Annotated[list[str] | None, typer.Option(help="of this method and the baseline; may be given again")] = None,
) -> None:
    """Train one epoch of each method in turn, `rounds` times, and print seconds a step and the ratio."""
    use_one_thread()
    for name in only or ():
        if name not in METHODS:
            raise typer.BadParameter(f"unknown method {name!r}; choose from {', '.join(METHODS)}")
    chosen = {name: method for name, method in METHODS.items() if not only or name in ("baseline", *only)}
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(rounds):
        for name, method in chosen.items():
            settings = {"method": name, "strength": float(method.has_penalty), "model": model, "n_train": n_train}
            if name == "adversarial" and model == "small_cnn":
                settings |= SMALL_DISCRIMINATOR
            # Tiny validation sets: what is timed is training.
            trial = Trial(TrialConfig.parse({**settings, "n_valid": 8, "n_test": 8}))
            start = time.process_time()
            trial.train_epoch()
            seconds[name].append((time.process_time() - start) * trial.config.batch_size / n_train)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in sorted(medians.items(), key=lambda item: item[1]):
        print(f"{name:20} {1000 * median:8.1f} ms a step of 32 images   {median / medians['baseline']:5.2f} x baseline")


if __name__ == "__main__":
    typer.run(main)
