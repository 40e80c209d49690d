"""Memory of trials of one epoch, alone and side by side.

Run `python -m benchmarks.images.memory`; `--help` lists its options.
"""

import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from os import environ
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from torch import nn

from benchmarks.images import make_folder, settings
from benchmarks.timing import print_table
from trainables import resolve
from trainables.core.process import use_one_thread
from trainables.datasets.own.decoded import Decoded
from trainables.datasets.own.images import OwnImages
from trainables.trial.data import check_trial_data
from trainables.trial.trial import Trial

FILES = 1000
"""JPEG files at most; of more images, pixels are holes of a file, and masks and rows are repeated."""


def strided(classes: int) -> nn.Module:
    """A network that costs little beside reading: one convolution."""
    return nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))


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


def main(
    images: Annotated[list[int] | None, typer.Option(help="Images of a dataset; may be repeated.")] = None,
    together: Annotated[list[int] | None, typer.Option(help="Trials side by side; may be repeated.")] = None,
    model: str = "benchmarks.images.memory:strided",
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


if __name__ == "__main__":
    typer.run(main)
