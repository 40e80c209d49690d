"""Speed of training, compared with a plain PyTorch loop of the same maths and with the processor's multiplication rate.

Run `python -m benchmarks.training`, or `--model resnet18`, or `--only gradmask`. For each method, three times of a step
are measured, in processor time of one thread:

    ours    Trial.train_epoch
    plain   a DataLoader over the same tensors, the same loss, torch.optim.Adam, and torch's defaults for all else, in a
            separate process
    limit   the step's floating-point operations, counted by torch, at the rate of a product of two matrices

The ways take turns, so that a noisy machine disturbs all alike. Printed are medians, and the spread of the ratio to the
limit: its interquartile range divided by its median.
"""

import statistics
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Annotated, Any

import torch
import typer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import flop_registry

from benchmarks import processor_seconds
from benchmarks.methods import check_methods, trial_of
from trainables import Trial
from trainables.core.batch import Batch
from trainables.core.process import use_one_thread

SIDE = 1024


def matrix_product_rate(repeats: int = 8) -> float:
    """Floating-point operations a second of a product of two square matrices of single precision."""
    a, b = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    a @ b
    return repeats * 2 * SIDE**3 / processor_seconds(lambda: [a @ b for _ in range(repeats)])


PLAIN: dict[str, Trial] = {}
"""The trials of the process of the plain loop."""


def plain_seconds(name: str, model: str, n_train: int) -> float:
    """Time of an epoch as in a tutorial, with the trial's method, model and optimiser."""
    if name not in PLAIN:
        PLAIN[name] = trial_of(name, model, n_train)
        PLAIN[name].model.to(memory_format=torch.contiguous_format)
    trial = PLAIN[name]
    train, order = trial.splits["train"], torch.Generator().manual_seed(0)
    cues = torch.zeros_like(train.labels) if train.cues is None else train.cues
    data = TensorDataset(train.images, train.labels, trial.train_masks, cues)

    def epoch() -> None:
        for images, labels, masks, batch_cues in DataLoader(data, trial.config.batch_size, True, generator=order):
            loss = trial.method.loss(trial.model, Batch(images, labels, masks, order, batch_cues))
            total = loss.classification + trial.method.weight * loss.penalty
            trial.optimizer.zero_grad()
            total.backward()
            trial.optimizer.step()

    trial.model.train()
    return processor_seconds(epoch)


class OperationCounter(TorchDispatchMode):
    """Counts the floating-point operations of convolutions and matrix products, forwards and backwards.

    torch's FlopCounterMode follows modules, which fails with torch.autograd.grad; the formulas are the same.
    """

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


def main(
    rounds: int = 5,
    n_train: int = 320,
    model: str = "small_cnn",
    only: Annotated[list[str] | None, typer.Option(help="this method; may be given again")] = None,
) -> None:
    """Time an epoch of each method in three ways, `rounds` times, and print milliseconds a step of 32 images."""
    use_one_thread()
    chosen = check_methods(only)
    ours = {name: trial_of(name, model, n_train) for name in chosen}
    work = {}
    for name, trial in ours.items():
        with OperationCounter() as counter:
            trial.train_epoch()
        work[name] = counter.total
    times: dict[str, dict[str, list[float]]] = {name: {"ours": [], "plain": [], "limit": []} for name in chosen}
    with ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (1,)) as plain:
        for _ in range(rounds):
            for name in chosen:
                times[name]["limit"].append(work[name] / matrix_product_rate())
                times[name]["ours"].append(processor_seconds(ours[name].train_epoch))
                times[name]["plain"].append(plain.submit(plain_seconds, name, model, n_train).result())
    steps = n_train / ours[chosen[0]].config.batch_size
    rate = statistics.median(work[n] / seconds for n in chosen for seconds in times[n]["limit"])
    print(f"{model}, one thread; a product of two {SIDE} x {SIDE} matrices: {rate / 1e9:.0f} GFLOP/s\n")
    print(f"{'method':26}{'images/s':>9}{'ours, ms':>10}{'plain, ms':>11}{'limit, ms':>11}", end="")
    print(f"{'plain/ours':>12}{'ours/limit':>12}{'spread':>8}")
    for name in chosen:
        median = {way: statistics.median(seconds) for way, seconds in times[name].items()}
        ratios = [a / b for a, b in zip(times[name]["ours"], times[name]["limit"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4) if rounds > 1 else ratios * 3
        milliseconds = {way: 1000 * seconds / steps for way, seconds in median.items()}
        print(f"{name:26}{n_train / median['ours']:9.0f}", end="")
        print(f"{milliseconds['ours']:10.1f}{milliseconds['plain']:11.1f}{milliseconds['limit']:11.1f}", end="")
        print(f"{median['plain'] / median['ours']:12.2f}{middle:12.2f}{(high - low) / middle:8.0%}")


if __name__ == "__main__":
    typer.run(main)
