"""Does packing pay on this machine? Trials an hour of one stacked model, against the same trials one after the other.

Run `python -m benchmarks.packing`, on a GPU `python -m benchmarks.packing --device cuda`. For each method packs of 2,
4, 8 and so on trials train an epoch, and so do trials alone. Ways take turns, so that a noisy machine disturbs all
alike, and the medians of the rounds are compared. Scoring is not packed: its seconds, measured once a method, count
in both. On the processor one thread's processor time is measured, on a GPU wall-clock time.
"""

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Annotated

import torch
import typer

from trainables import METHODS, Trial, TrialConfig
from trainables.packing import STACKED, STACKED_MODELS, StackedTrials
from trainables.trial import use_gpu, use_one_thread

EPOCHS = TrialConfig.parse({}).epochs
"""Of a trial, as its hour is counted."""


def seconds_of(work: Callable[[], object], device: str) -> float:
    """Of processor time, or on a GPU until it is done."""
    if device == "cpu":
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def trials_of(method: str, number: int, device: str, **settings: object) -> list[Trial]:
    """So many trials that differ in their seeds, at strength 1 where the method has a penalty."""
    common = {"method": method, "strength": float(METHODS[method].has_penalty), "selection_warmup": 0, **settings}
    return [Trial(TrialConfig.parse({**common, "seed": seed}), device) for seed in range(number)]


def sizes(members: int) -> list[int]:
    """2, 4, 8, … up to `members`, which is the last one."""
    return [2**power for power in range(1, 20) if 2**power < members] + [members]


def compare(method: str, members: int, rounds: int, device: str, **settings: object) -> None:
    """Print a line for each size of a pack."""
    # One epoch more warms up, and none is a trial's last.
    settings = {**settings, "epochs": rounds + 2}
    trials = trials_of(method, members, device, **settings)
    packs = {size: StackedTrials(trials_of(method, size, device, **settings)) for size in sizes(members)}
    alone: list[float] = []
    packed: dict[int, list[float]] = {size: [] for size in packs}
    for _ in range(rounds + 1):
        alone.append(seconds_of(lambda: [trial.train_epoch() for trial in trials], device) / members)
        for size, pack in packs.items():
            packed[size].append(seconds_of(pack.train_epoch, device) / size)
    scoring = seconds_of(trials[0].evaluate, device) + seconds_of(trials[0].localise, device)
    before = statistics.median(alone[1:])
    for size, seconds in packed.items():
        after = statistics.median(seconds[1:])
        hourly, hourly_packed = (3600 / (EPOCHS * epoch + scoring) for epoch in (before, after))
        print(f"{method:22}{size:8}{1000 * before:11.1f}{1000 * after:12.1f}{before / after:14.2f}", end="")
        print(f"{hourly:16.0f}{hourly_packed:17.0f}{hourly_packed / hourly:14.2f}", flush=True)


def check(given: str, option: str, allowed: Iterable[str]) -> None:
    """Raise typer.BadParameter unless `given` is allowed."""
    if given not in allowed:
        raise typer.BadParameter(f"bad {option} {given!r}; choose from {', '.join(allowed)}")


def main(
    members: Annotated[int, typer.Option(min=2, help="trials of the largest pack")] = 8,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    n_train: Annotated[int, typer.Option(min=2)] = 320,
    model: str = "small_cnn",
    device: str = "cpu",
    only: Annotated[list[str] | None, typer.Option(help="this method; may be given again")] = None,
) -> None:
    """Print, by method and size of a pack, milliseconds of a trial's epoch, trials an hour, and the two ratios."""
    chosen = only or ["baseline", "gradmask"]
    check(device, "--device", ("cpu", "cuda"))
    check(model, "--model", STACKED_MODELS)
    for method in chosen:
        check(method, "--only", STACKED)
    if device == "cuda" and not torch.cuda.is_available():
        raise typer.BadParameter("bad --device 'cuda'; this machine has no GPU, leave it at cpu")
    use_one_thread()
    if device == "cuda":
        use_gpu(1.0)
    print(f"{model} on {device}, {n_train} images, trials of {EPOCHS} epochs\n")
    print(f"{'method':22}{'members':>8}{'alone, ms':>11}{'packed, ms':>12}{'alone/packed':>14}", end="")
    print(f"{'alone, an hour':>16}{'packed, an hour':>17}{'packed/alone':>14}")
    for method in chosen:
        compare(method, members, rounds, device, model=model, n_train=n_train)


if __name__ == "__main__":
    typer.run(main)
