"""What a sweep costs beside its trials: the same trials by a bare loop, by plain Ray Tune, and by sweep.py.

Run `python -m benchmarks.sweep_overhead`. Trials of about two seconds, and stubs of about 50 milliseconds, are run

    bare     by a loop in two processes: no Ray, no MLflow, nothing kept but a list of scores
    plain    as Tune's documentation shows: a function, tune.report, MLflowLoggerCallback; a process for each trial
    reused   by Tune with reuse_actors, without MLflow
    sweep    by sweep.py with everything on: records, artifacts, MLflow, report; a trial ends when its record is written

Timed are the trials between the first tenth, at least two of each process, and the last one: a process imports MLflow
after its first trial. The time before and after them is printed too.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from benchmarks.timing import ROOT, in_turn, print_table

SLOTS = 2
STUB: dict[str, Any] = {"n_train": 64, "n_valid": 8, "n_test": 8, "epochs": 2, "batch_size": 16}
STUB |= {"attribution_images": 8, "attributions": ("input_gradient",)}
KINDS: dict[str, Mapping[str, Any]] = {
    "minimal": {**STUB, "n_train": 8, "epochs": 1, "batch_size": 8, "attribution_images": 2},
    "stub": STUB,
    "trial": {"epochs": 4, "n_test": 1000, "attribution_images": 32},
}
SPACE = """
from benchmarks.sweep_overhead import settings
from search_spaces import Primary, Space

def overhead():
    trials, primary = settings({kind!r}, {trials}), Primary(attribution="input_gradient")
    return Space("overhead", "the trials of benchmarks/sweep_overhead.py", trials, primary)
"""


def settings(kind: str, trials: int) -> list[dict[str, Any]]:
    base = {"dataset": "synthetic", "method": "baseline", **KINDS[kind]}
    return [{**base, "seed": seed, "data_seed": seed} for seed in range(trials)]


def run(folder: Path, config: Mapping[str, Any]) -> dict[str, float | None]:
    """Train and score a trial, and write a file at its end."""
    from trainables import Trial, resolve
    from trainables.core.process import use_one_thread

    use_one_thread()
    trial = Trial(resolve(config))
    while not trial.finished:
        trial.train_epoch()
    scores = {**trial.evaluate(), **trial.localise().scores}
    (folder / f"{config['seed']}.json").write_text("{}")
    return scores


def bare(folder: Path, kind: str, trials: int) -> None:
    # A chunk is sent to a process as a whole.
    with ProcessPoolExecutor(SLOTS, get_context("spawn")) as processes:
        list(processes.map(run, repeat(folder), settings(kind, trials), chunksize=-(-trials // SLOTS)))


def plain(folder: Path, kind: str, trials: int) -> None:
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    def train(config: dict[str, Any]) -> None:
        tune.report(run(folder, config))

    callback = MLflowLoggerCallback(tracking_uri=f"sqlite:///{folder}/mlflow.db", experiment_name="plain")
    tune_all(train, folder, kind, trials, callbacks=[callback])


def reused(folder: Path, kind: str, trials: int) -> None:
    from ray import tune

    class Train(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.settings = config

        def step(self) -> dict[str, Any]:
            return {**run(folder, self.settings), "done": True}

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.settings = new_config
            return True

    tune_all(Train, folder, kind, trials, reuse_actors=True)


def tune_all(trainable: Any, folder: Path, kind: str, trials: int, reuse_actors: bool = False, **run: Any) -> None:
    import ray
    from ray import tune

    ray.init(address="local", num_cpus=SLOTS, num_gpus=0, include_dashboard=False, log_to_driver=False)
    configs = settings(kind, trials)
    keep_nothing = tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False) if reuse_actors else None
    results = tune.Tuner(
        trainable,
        param_space={**configs[0], "seed": tune.grid_search([c["seed"] for c in configs])},
        tune_config=tune.TuneConfig(reuse_actors=reuse_actors),
        run_config=tune.RunConfig(storage_path=str(folder / "tune"), verbose=0, checkpoint_config=keep_nothing, **run),
    ).fit()
    if results.errors:
        raise results.errors[0]


def start_sweep(folder: Path, kind: str, trials: int, *options: str, **output: Any) -> subprocess.Popen[bytes]:
    """Run the trials by sweep.py in `folder`."""
    (folder / "overhead.py").write_text(SPACE.format(kind=kind, trials=trials))
    command = [sys.executable, str(ROOT / "sweep.py"), "--space", str(folder / "overhead.py"), *options]
    return subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, **output)


def sweep(folder: Path, kind: str, trials: int) -> None:
    if start_sweep(folder, kind, trials, "--concurrency", str(SLOTS), stdout=subprocess.DEVNULL).wait():
        raise SystemExit(1)


WAYS: dict[str, Callable[[Path, str, int], None]] = {"bare": bare, "plain": plain, "reused": reused, "sweep": sweep}


def ends(folder: Path) -> Iterator[float]:
    """When each trial ended; a sweep's trial ends when its record is in the storage."""
    yield from (path.stat().st_mtime for path in folder.glob("*.json"))
    for path in (folder / "sweeps/overhead/logs").glob("*.jsonl"):
        for event in map(json.loads, path.read_text().splitlines()):
            if event["event"] == "trial":
                yield datetime.fromisoformat(event["time"]).timestamp()


def measure(way: str, kind: str, trials: int) -> tuple[float, float]:
    """Seconds a trial between the first tenth and the last, and of everything before and after."""
    with tempfile.TemporaryDirectory(prefix="overhead-") as name:
        command = [sys.executable, "-m", "benchmarks.sweep_overhead", "--only", way, "--kind", kind]
        start = time.time()
        done = subprocess.run(
            [*command, "--trials", str(trials), "--folder", name], cwd=ROOT, capture_output=True, text=True
        )
        whole = time.time() - start
        ended = sorted(ends(Path(name)))
    if done.returncode or len(ended) != trials:
        raise SystemExit(f"{way}: {len(ended)} of {trials} trials, exit {done.returncode}\n{done.stderr[-3000:]}")
    first = max(2 * SLOTS, trials // 10)
    timed = ended[-1] - ended[first - 1]
    return timed / (trials - first), whole - timed


def main(
    rounds: int = 3,
    stubs: Annotated[int, typer.Option(help="Trials of 50 milliseconds; 0 for none.")] = 200,
    trials: Annotated[int, typer.Option(help="Trials of two seconds; 0 for none.")] = 40,
    way: Annotated[
        list[str] | None, typer.Option(help="Compared with the bare loop; may be repeated. [default: all]")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Run one way once, in --folder, and print nothing.")] = None,
    kind: str = "stub",
    folder: Path = Path(),
) -> None:
    """Print seconds a trial of each way, and its ratio to the bare loop."""
    if only is not None:
        WAYS[only](folder.resolve(), kind, trials)
        return
    if unknown := sorted(set(way or ()) - set(WAYS)):
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(WAYS)}", param_hint="--way")
    if few := [number for number in (stubs, trials) if 0 < number <= 2 * SLOTS]:
        raise typer.BadParameter(f"{few[0]} trials leave none to time; give more than {2 * SLOTS}, or 0 for none")
    names = [name for name in WAYS if way is None or name in ("bare", *way)]
    for what, number in (("stub", stubs), ("trial", trials)):
        if number:
            runs = in_turn({name: partial(measure, name, what, number) for name in names}, rounds)
            seconds, rest = (runs.map(itemgetter(position)).astype(float) for position in (0, 1))
            table = pd.DataFrame({"median": seconds.median(), "least": seconds.min(), "most": seconds.max()})
            table["x bare"] = table["median"] / table["median"]["bare"]
            print(f"\n{number} times a {what}: seconds a trial, and of everything before and after")
            print_table(table.assign(rest=rest.median()), digits=3)


if __name__ == "__main__":
    typer.run(main)
