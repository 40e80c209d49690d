"""Memory of trials on many images, and how fast images come from disk to the model.

Run `python -m benchmarks.images memory` and `python -m benchmarks.images speed`. Images are JPEG files of
colour noise in a temporary folder, each with a box as its mask. Each process has one thread.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial
from itertools import islice
from multiprocessing import get_context
from os import environ
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.timing import in_turn, print_table
from trainables import METHODS, resolve
from trainables.core.batch import Batch
from trainables.core.process import use_one_thread
from trainables.core.streams import PROCESSOR
from trainables.datasets import Split
from trainables.datasets import dataset as datasets
from trainables.datasets.mapped import batches
from trainables.datasets.own.decoded import Decoded
from trainables.datasets.own.images import OwnImages
from trainables.trial.data import check_trial_data
from trainables.trial.train import train_epoch
from trainables.trial.trial import Trial

app = typer.Typer(help=__doc__)
FILES, SEVERITY, BATCH = 1000, 0.5, 16
"""JPEG files of the memory part; of more images, pixels are holes of a file, and masks and rows are repeated."""


def strided(classes: int) -> nn.Module:
    """A network that costs little beside reading: one convolution."""
    return nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))


def make_folder(folder: Path, n: int, side: int) -> None:
    """n JPEG files of `side` x `side` pixels, in four cells of label and group."""
    (folder / "images").mkdir(parents=True)
    rng, rows = np.random.default_rng(0), []
    for i in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"images/{i}.jpg", quality=90)
        cell = {"label": ("normal", "sick")[i % 2], "group": ("left", "right")[i // 2 % 2]}
        rows.append({"image": f"{i}.jpg", **cell, "boxes": f"{side // 4} {side // 4} {side // 3} {side // 3}"})
    pd.DataFrame(rows).to_csv(folder / "table.csv", index=False)


def settings(folder: Path, side: int, model: str, method: str) -> dict[str, Any]:
    """Of a trial of one epoch on these images."""
    return {
        **{"dataset": f"folder:{folder}", "severity": SEVERITY, "image_size": side, "channels": 3, "model": model},
        **{"valid_fraction": 0.1, "test_fraction": 0.1, "epochs": 1, "batch_size": BATCH, "attribution_images": 20},
        **{"method": method, "strength": float(METHODS[method].has_penalty), "attributions": ["input_gradient"]},
    }


@lru_cache(maxsize=1)
def enlarged(decoded: Decoded, n: int, folder: Path) -> Decoded:
    """As many rows as n, whose masks are those of the first ones again and whose pixels are zeros of a sparse file."""
    times = -(-n // len(decoded.rows))
    shape, masks = decoded.pixels.shape[1:], folder / f"masks-{n}.npy"
    if not masks.exists():
        written = np.lib.format.open_memmap(folder / f".{n}", "w+", np.bool_, (n, *shape[1:]))
        for start in range(0, n, len(decoded.rows)):
            written[start : start + len(decoded.rows)] = decoded.masks[: n - start]
        (folder / f".{n}").rename(masks)
    pixels = np.memmap(folder / f"pixels-{n}", np.uint8, "w+", shape=(n, *shape))
    rows = [replace(row) for _ in range(times) for row in decoded.rows][:n]
    return Decoded(rows, pixels, np.load(masks, "c"), pd.concat([decoded.stored] * times, ignore_index=True)[:n])


def trial_memory(folder: Path, n: int, side: int, model: str, method: str, most: int | None) -> dict[str, float]:
    """Peaks of a trial in GB: pages of its own, all pages (RSS), and pages shared out among processes (PSS)."""
    use_one_thread()
    if n > FILES:
        decoded = OwnImages.decoded
        OwnImages.decoded = lambda self: enlarged(decoded(self), n, folder)  # type: ignore[method-assign]
    peaks, ended = {"own": 0.0, "RSS": 0.0, "PSS": 0.0}, threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            pages = dict(line.split()[:2] for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
            now = {"own": pages["Anonymous:"], "RSS": pages["Rss:"], "PSS": pages["Pss:"]}
            peaks.update({name: max(peaks[name], int(kib) * 1024 / 1e9) for name, kib in now.items()})

    thread, start = threading.Thread(target=watch), time.perf_counter()
    thread.start()
    trial = Trial(resolve(settings(folder, side, model, method)))
    if most:
        trial.batches = lambda of=trial.batches: islice(of(), most)  # type: ignore[misc, method-assign]
    trial.train_epoch()
    trial.evaluate()
    trial.localise()
    ended.set()
    thread.join()
    return {**peaks, "minutes": (time.perf_counter() - start) / 60}


@app.command()
def memory(
    images: Annotated[list[int] | None, typer.Option(help="Images of a dataset; may be repeated.")] = None,
    together: Annotated[list[int] | None, typer.Option(help="Trials side by side; may be repeated.")] = None,
    model: str = "benchmarks.images:strided",
    method: str = "rrr",
    side: int = 224,
    steps: Annotated[int | None, typer.Option(help="Training steps at most; default: an epoch.")] = None,
) -> None:
    """Print the largest memory of a trial of one epoch."""
    rows = []
    with TemporaryDirectory() as temporary:
        environ["XDG_CACHE_HOME"] = temporary
        folder = Path(temporary) / "set"
        make_folder(folder, FILES, side)
        check_trial_data(resolve(settings(folder, side, model, method)))
        for n in images or (1000, 10_000, 100_000):
            for count in together or (1, 4):
                with ProcessPoolExecutor(count, get_context("spawn")) as processes:
                    arguments = (folder, n, side, model, method, steps)
                    results = [processes.submit(trial_memory, *arguments) for _ in range(count)]
                    of_trials = pd.DataFrame([result.result() for result in results])
                rows.append({"images": n, "trials": count, **of_trials.max()})
                print_table(pd.DataFrame(rows).set_index(["images", "trials"]))


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


@app.command()
def speed(model: str = "small_cnn", side: int = 32, images: int = 2000, rounds: int = 5) -> None:
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
    app()
