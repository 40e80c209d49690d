"""Speed and memory of training timm's networks here, compared with a plain loop over the same network.

Run `python -m benchmarks.networks`, or `--model timm:resnet50 --method rrr`. Each figure comes from a process of its
own with one thread: processor time of a step, and its largest memory. `plain` is the loop of timm's documentation: its
network on standardised images, cross-entropy, torch.optim.Adam. `operations` are those that torch counts in a step, as
a multiple of the baseline's.
"""

import resource
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Annotated, Any

import pandas as pd
import timm
import torch
import typer
from torch.nn.functional import cross_entropy

from benchmarks.methods import check_methods
from benchmarks.timing import print_table, processor_seconds
from benchmarks.training import OperationCounter
from trainables import METHODS, resolve
from trainables.core.batch import Batch
from trainables.core.process import use_one_thread
from trainables.models.initialise import initialise
from trainables.trial.train import train_epoch

PLAIN = "plain"
MODELS = ("timm:resnet50", "timm:densenet121", "timm:vit_small_patch16_224")


def step(model: str, method: str, batch_size: int, side: int, steps: int) -> tuple[float, float, float]:
    """Seconds of processor time a step, the process's largest memory in bytes, and operations a step."""
    use_one_thread()
    rng = torch.Generator().manual_seed(0)
    images, labels = torch.rand(batch_size, 3, side, side, generator=rng), torch.arange(batch_size) % 2
    if method == PLAIN:
        network = timm.create_model(model.partition(":")[2], num_classes=2).train()
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
        standard = (images - 0.45) / 0.225

        def work() -> None:
            optimizer.zero_grad()
            cross_entropy(network(standard), labels).backward()
            optimizer.step()
    else:
        strength = 0.1 if METHODS[method].has_penalty else 0.0
        config = resolve({"model": model, "method": method, "strength": strength})
        ours = initialise(model, 3, 2, seed=0, side=side)
        own_method = METHODS[method](config, ours.feature_size)
        if own_method.second_order:
            ours.to(memory_format=torch.contiguous_format)  # as Trial does
        own_optimizer = torch.optim.Adam(ours.parameters(), lr=1e-4)
        masks = torch.zeros(batch_size, 1, side, side, dtype=torch.bool)
        masks[:, :, side // 4 : side // 2, side // 4 : side // 2] = True
        batches = [Batch(images, labels, masks, rng)]

        def work() -> None:
            train_epoch(ours, own_method, own_optimizer, batches, "float32", 0)

    with OperationCounter() as counter:
        work()

    def repeated() -> None:
        for _ in range(steps):
            work()

    seconds = processor_seconds(repeated) / steps
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0, float(counter.total)


def main(
    model: Annotated[list[str] | None, typer.Option(help="A network of timm; may be repeated.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Beside the baseline; may be repeated.")] = None,
    batch_size: int = 16,
    side: int = 224,
    steps: int = 3,
    rounds: int = 3,
) -> None:
    """Print medians over the rounds, in which the ways take turns."""
    ways = list(dict.fromkeys([PLAIN, "baseline", *(check_methods(method) if method else ())]))
    for name in model or MODELS:
        rows = []
        for _ in range(rounds):
            for way in ways:
                with ProcessPoolExecutor(1, get_context("spawn")) as process:
                    rows.append((way, *process.submit(step, name, way, batch_size, side, steps).result()))
        table: Any = (
            pd.DataFrame(rows, columns=["way", "s a step", "GiB", "operations"]).groupby("way").median().loc[ways]
        )
        table["GiB"] /= 2**30
        table["operations"] /= table.loc["baseline", "operations"]
        table["time / plain"] = table["s a step"] / table.loc[PLAIN, "s a step"]
        table["GiB / plain"] = table["GiB"] / table.loc[PLAIN, "GiB"]
        print(f"{name}, batches of {batch_size} images of {side} x {side} pixels")
        print_table(table)


if __name__ == "__main__":
    typer.run(main)
