"""What a sweep costs beside its trials: the same trials by a bare loop, by plain Ray Tune, and by sweep.py.

Run `python -m benchmarks.sweep_overhead`. Trials of about two seconds, and stubs of about 50 milliseconds, are run

    bare     by a loop in two processes: no Ray, no MLflow, nothing kept but a list of scores
    plain    as Tune's documentation shows: a function, tune.report, MLflowLoggerCallback; a process for each trial
    reused   by Tune with reuse_actors, without MLflow
    sweep    by sweep.py with everything on: records, artifacts, MLflow, report; a trial ends when its record is written

Ways take turns, so that a noisy machine disturbs all alike. Timed are the trials between the first tenth, at least two
of each process, and the last one: a process imports MLflow after its first trial. How long a way takes to start and to
end is printed beside it.
"""

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

ROOT = Path(__file__).resolve().parent.parent
SLOTS = 2
STUB = {"n_train": 64, "n_valid": 8, "n_test": 8, "epochs": 2, "batch_size": 16, "attribution_images": 8}
KINDS: dict[str, Mapping[str, Any]] = {
    "stub": {**STUB, "attributions": ("input_gradient",)},
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
    """So many different trials of the kind."""
    base = {"dataset": "synthetic", "method": "baseline", **KINDS[kind]}
    return [{**base, "seed": seed, "data_seed": seed} for seed in range(trials)]


def score(config: Mapping[str, Any]) -> dict[str, float | None]:
    """One trial from start to end: its scores."""
    from trainables import Trial, resolve
    from trainables.core.process import use_one_thread

    use_one_thread()
    trial = Trial(resolve(config))
    while not trial.finished:
        trial.train_epoch()
    return {**trial.evaluate(), **trial.localise().scores}


def leave_mark(folder: Path, config: Mapping[str, Any]) -> None:
    """The time of the file is that of the trial's end."""
    (folder / f"{config['seed']}.json").write_text("{}")


def bare_part(folder: Path, configs: Sequence[Mapping[str, Any]]) -> None:
    scores = []
    for config in configs:
        scores.append(score(config))
        leave_mark(folder, config)
    (folder / f"part-{configs[0]['seed']}.txt").write_text(json.dumps(scores))


def bare(folder: Path, kind: str, trials: int) -> None:
    configs = settings(kind, trials)
    context = multiprocessing.get_context("spawn")
    parts = [context.Process(target=bare_part, args=(folder, configs[slot::SLOTS])) for slot in range(SLOTS)]
    for part in parts:
        part.start()
    for part in parts:
        part.join()
        if part.exitcode:
            raise SystemExit(f"a process of the bare loop ended with {part.exitcode}")


def plain(folder: Path, kind: str, trials: int) -> None:
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    def train(config: dict[str, Any]) -> None:
        scores = score(config)
        leave_mark(folder, config)
        tune.report(scores)

    callback = MLflowLoggerCallback(tracking_uri=f"sqlite:///{folder}/mlflow.db", experiment_name="plain")
    tune_all(train, folder, kind, trials, callbacks=[callback])


def reused(folder: Path, kind: str, trials: int) -> None:
    from ray import tune

    class Train(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.settings = config

        def step(self) -> dict[str, Any]:
            scores = score(self.settings)
            leave_mark(folder, self.settings)
            return {**scores, "done": True}

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.settings = new_config
            return True

    tune_all(Train, folder, kind, trials, reuse_actors=True)


def tune_all(trainable: Any, folder: Path, kind: str, trials: int, reuse_actors: bool = False, **run: Any) -> None:
    """All trials by Tune, two at a time."""
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


def sweep(folder: Path, kind: str, trials: int) -> None:
    space = folder / "overhead.py"
    space.write_text(SPACE.format(kind=kind, trials=trials))
    command = [sys.executable, str(ROOT / "sweep.py"), "--space", str(space), "--concurrency", str(SLOTS)]
    subprocess.run(
        command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


WAYS: dict[str, Callable[[Path, str, int], None]] = {"bare": bare, "plain": plain, "reused": reused, "sweep": sweep}


def counted(folder: Path) -> Iterator[float]:
    """When each trial of a sweep counted as done, its record being in the storage."""
    for path in (folder / "sweeps/overhead/logs").glob("*.jsonl"):
        for event in map(json.loads, path.read_text().splitlines()):
            if event["event"] == "trial":
                yield datetime.fromisoformat(event["time"]).timestamp()


def measure(way: str, kind: str, trials: int) -> tuple[float, float]:
    """Seconds a trial between the first tenth and the last, and of everything before and after."""
    with tempfile.TemporaryDirectory(prefix="overhead-") as name:
        folder = Path(name)
        command = [sys.executable, "-m", "benchmarks.sweep_overhead", "--only", way, "--kind", kind]
        command += ["--trials", str(trials), "--folder", name]
        start = time.time()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        whole = time.time() - start
        ends = sorted(counted(folder) if way == "sweep" else (path.stat().st_mtime for path in folder.glob("*.json")))
        if done.returncode or len(ends) != trials:
            raise SystemExit(f"{way}: {len(ends)} of {trials} trials, exit {done.returncode}\n{done.stderr[-3000:]}")
    first = max(2 * SLOTS, trials // 10)
    return (ends[-1] - ends[first - 1]) / (trials - first), whole - (ends[-1] - ends[first - 1])


def main(
    rounds: int = 3,
    stubs: Annotated[int, typer.Option(help="Trials of 50 milliseconds; 0 for none.")] = 200,
    trials: Annotated[int, typer.Option(help="Trials of two seconds; 0 for none.")] = 40,
    way: Annotated[
        list[str] | None, typer.Option(help="To be compared with the bare loop; may be repeated. All if not given.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Run one way once, in --folder, and print nothing.")] = None,
    kind: str = "stub",
    folder: Path = Path(),
) -> None:
    """Print seconds a trial of each way, and how it compares with the bare loop."""
    if only is not None:
        WAYS[only](folder.resolve(), kind, trials)
        return
    if unknown := sorted(set(way or ()) - set(WAYS)):
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(WAYS)}", param_hint="--way")
    if few := [number for number in (stubs, trials) if 0 < number <= 2 * SLOTS]:
        raise typer.BadParameter(f"{few[0]} trials leave none to time; give more than {2 * SLOTS}, or 0 for none")
    ways = [name for name in WAYS if way is None or name in ("bare", *way)]
    for what, number in (("stub", stubs), ("trial", trials)):
        if not number:
            continue
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name in ways:
                found[name].append(measure(name, what, number))
        medians = {name: statistics.median(seconds for seconds, _ in values) for name, values in found.items()}
        for name, values in found.items():
            spread = f"{min(v for v, _ in values):.3f} to {max(v for v, _ in values):.3f}"
            around = statistics.median(rest for _, rest in values)
            print(
                f"{what:5} {name:6} {medians[name]:7.3f} s a trial ({spread}), "
                f"{medians[name] / medians['bare']:6.2f} x bare; {around:5.1f} s before and after {number} trials",
                flush=True,
            )


if __name__ == "__main__":
    typer.run(main)
