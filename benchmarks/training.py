"""Speed of training, compared with a plain PyTorch loop of the same maths and with the processor's multiplication rate.

Run `python -m benchmarks.training`, or `--model resnet18`, or `--only gradmask`. For each method, three times of a step
are measured, in processor time of one thread:

    ours    Trial.train_epoch
    plain   a DataLoader over the same tensors, the same loss, torch.optim.Adam, and torch's defaults for all else, in a
            separate process
    limit   the step's floating-point operations, counted by torch, at the rate of a product of two matrices

Printed are medians, and the spread of the ratio to the limit: its interquartile range divided by its median.
"""

from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from typing import Any

import torch
import typer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import flop_registry

from benchmarks.methods import check_methods, trial_of
from benchmarks.timing import Methods, in_turn, print_table, processor_seconds
from trainables.core.batch import Batch
from trainables.core.process import use_one_thread

SIDE, REPEATS = 1024, 8


def seconds_at_the_limit(operations: int) -> float:
    """Time of so many floating-point operations at the rate of a product of two square matrices of single precision."""
    a, b = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    a @ b
    return operations * processor_seconds(lambda: [a @ b for _ in range(REPEATS)]) / (REPEATS * 2 * SIDE**3)


plain_trial = cache(trial_of)


def plain_seconds(name: str, model: str, n_train: int) -> float:
    """Time of an epoch as in a tutorial, with the trial's method, model and optimiser."""
    trial = plain_trial(name, model, n_train)
    trial.model.to(memory_format=torch.contiguous_format)
    train, order = trial.splits["train"], torch.Generator().manual_seed(0)
    cues = torch.zeros_like(train.labels) if train.cues is None else train.cues
    data = TensorDataset(train.images[:], train.labels, trial.train_masks[:], cues)

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
        if formula := flop_registry.get(func._overloadpacket):
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


def main(rounds: int = 5, n_train: int = 320, model: str = "small_cnn", only: Methods = None) -> None:
    """Time an epoch of each method in three ways, `rounds` times, and print milliseconds a step of 32 images."""
    use_one_thread()
    names, ways, operations = check_methods(only), {}, {}
    with ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (1,)) as plain:

        def in_plain_process(name: str) -> float:
            return plain.submit(plain_seconds, name, model, n_train).result()

        for name in names:
            trial = trial_of(name, model, n_train)
            with OperationCounter() as counter:
                trial.train_epoch()
            operations[name] = counter.total
            ways[name, "limit"] = partial(seconds_at_the_limit, operations[name])
            ways[name, "ours"] = partial(processor_seconds, trial.train_epoch)
            ways[name, "plain"] = partial(in_plain_process, name)
        times = in_turn(ways, rounds)
    ours, plain_loop, limit = (times.xs(way, axis=1, level=1)[names] for way in ("ours", "plain", "limit"))
    ratio = (ours / limit).quantile([0.25, 0.5, 0.75]).T
    rate = operations["baseline"] / limit["baseline"].median()
    print(f"{model}, one thread; a product of two {SIDE} x {SIDE} matrices: {rate / 1e9:.0f} GFLOP/s\n")
    milliseconds = 1000 * trial.config.batch_size / n_train * times.median().unstack().loc[names]
    table = milliseconds[["ours", "plain", "limit"]].add_suffix(", ms")
    table.insert(0, "images/s", n_train / ours.median())
    table["plain/ours"] = plain_loop.median() / ours.median()
    table["ours/limit"], table["spread"] = ratio[0.5], (ratio[0.75] - ratio[0.25]) / ratio[0.5]
    print_table(table)


if __name__ == "__main__":
    typer.run(main)
