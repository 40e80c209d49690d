"""Images a second from disk to the model, beside tensors in memory and torch's DataLoader.

Run `python -m benchmarks.images.speed`; `--help` lists its options.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from os import environ
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
import typer
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.images import BATCH, make_folder, settings
from benchmarks.timing import in_turn, print_table
from trainables import resolve
from trainables.core.batch import Batch
from trainables.core.process import use_one_thread
from trainables.core.streams import PROCESSOR
from trainables.datasets import Split
from trainables.datasets import dataset as datasets
from trainables.datasets.mapped import batches
from trainables.trial.train import train_epoch
from trainables.trial.trial import Trial


class Files(Dataset[tuple[Tensor, int]]):
    """Images as in a tutorial: opened with Pillow, resized and converted one by one."""

    def __init__(self, paths: Sequence[Path], side: int):
        self.paths, self.side = paths, side

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[i]) as image:
            pixels = np.asarray(image.convert("RGB").resize((self.side, self.side), Image.Resampling.BILINEAR))
        return torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32) / 255), i % 2


class Fetched(Dataset[Any]):
    """A source, of which torch's DataLoader fetches a batch at a time."""

    def __init__(self, images: Any):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, index: list[int]) -> tuple[Tensor, Tensor]:
        return self.images[torch.tensor(index)], torch.tensor(index) % 2


def main(model: str = "small_cnn", side: int = 32, images: int = 2000, rounds: int = 5) -> None:
    """Print images a second, read alone and trained on, in the median round; and how much longer training takes than
    on tensors in memory, the median of the rounds."""
    use_one_thread()
    datasets.HELD_BYTES = 0
    with TemporaryDirectory() as temporary:
        environ["XDG_CACHE_HOME"] = temporary
        folder = Path(temporary) / "set"
        make_folder(folder, images, side * 8 // 7)
        trial = Trial(resolve(settings(folder, side, model, "baseline")))
        mapped, held = trial.splits["train"], trial.splits["train"].in_memory()
        order, rng = torch.randperm(len(mapped)), torch.Generator()
        masks = torch.zeros(BATCH, 1, side, side, dtype=torch.bool)
        files = Files([folder / f"images/{i}.jpg" for i in range(len(mapped))], side)

        def loader(data: Any, workers: int, collate: Any = None) -> Iterator[Any]:
            return iter(DataLoader(data, BATCH, sampler=order.tolist(), num_workers=workers, collate_fn=collate))

        def of(split: Split) -> Iterator[Any]:
            return batches((split.images, split.labels), order.split(BATCH), PROCESSOR)

        ways: dict[str, Callable[[], Iterator[Any]]] = {
            "tensors in memory": partial(of, held),
            "from disk": partial(of, mapped),
            "from disk, DataLoader": partial(loader, Fetched(mapped.images), 0, tuple),
            "from disk, DataLoader, 1 worker": partial(loader, Fetched(mapped.images), 1, tuple),
            "Pillow, DataLoader": partial(loader, files, 0),
            "Pillow, DataLoader, 1 worker": partial(loader, files, 1),
        }

        def seconds(work: Callable[[], object]) -> float:
            start = time.perf_counter()
            work()
            return time.perf_counter() - start

        def go_through(way: Callable[[], Iterator[Any]]) -> None:
            deque(way(), maxlen=0)

        def train(way: Callable[[], Iterator[Any]]) -> None:
            made = (Batch(images, labels, masks[: len(images)], rng) for images, labels in way())
            train_epoch(trial.model, trial.method, trial.optimizer, made, "float32", 0)

        read = in_turn({name: partial(seconds, partial(go_through, way)) for name, way in ways.items()}, rounds)
        trained = in_turn({name: partial(seconds, partial(train, way)) for name, way in ways.items()}, rounds)
        relative = trained.div(trained["tensors in memory"], axis=0).median()
        print(f"{model}, {len(mapped)} images of {side} x {side} pixels in batches of {BATCH}: images a second")
        rates = {"read": len(mapped) / read.median(), "trained on": len(mapped) / trained.median()}
        print_table(pd.DataFrame({**rates, "time / tensors": relative}))


if __name__ == "__main__":
    typer.run(main)
