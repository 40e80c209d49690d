"""The cost of --keep-weights for a trial: bytes, and processor time to keep and load the model.

Run `python -m benchmarks.weights`. Each model is trained for a moment; then its weights are packed and written to a
folder, mirrored into MLflow on SQLite, and read back by `trainables.load_model`, `--rounds` times. Medians are printed.
"""

import statistics
import tempfile
from collections.abc import Callable
from typing import Annotated, Any

import typer

from benchmarks import processor_seconds
from records import SweepRecords, open_storage
from records.mirror import mirror_trial, mirror_weights, open_experiment
from records.store import WEIGHTS, Record
from trainables import MODELS, Trial, load_model, resolve, run_trial
from trainables.core.process import use_one_thread
from trainables.trial.finished import pack_weights

SMALL: dict[str, Any] = {"n_train": 16, "n_valid": 16, "n_test": 16, "epochs": 1, "batch_size": 8}
SMALL |= {"attribution_images": 2, "integrated_gradients_steps": 2}


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Median processor seconds of a call."""
    return statistics.median(processor_seconds(work) for _ in range(rounds))


def measure(model: str, rounds: int, folder: str) -> tuple[int, float, float, float]:
    """Bytes of a model's weights, and seconds to keep them, to mirror them and to load the model."""
    config = resolve({"model": model, **SMALL})
    trial, key = Trial(config), config.trial_key
    trial.train_epoch()
    records = SweepRecords(open_storage(folder), "weights")
    record = run_trial(model=model, **SMALL).record
    records.write(record)
    keep = seconds(lambda: records.write_artifact(key, WEIGHTS, pack_weights(trial, config)), rounds)
    experiment = open_experiment(f"sqlite:///{folder}/mlflow.db", "weights", f"file://{folder}/artifacts")
    runs = []
    for n in range(rounds):
        copy = Record({**record, "trial_key": f"{key}-{n}"})
        records.write_artifact(copy["trial_key"], WEIGHTS, pack_weights(trial, config))
        runs.append({copy["trial_key"]: mirror_trial(experiment, records, copy, {}, weights=False)})
    mirror = seconds(lambda: mirror_weights(experiment, records, mirrored := runs.pop(), mirrored), rounds)
    load = seconds(lambda: load_model("weights", key, storage=folder), rounds)
    return len(records.read_artifact(key, WEIGHTS) or b""), keep, mirror, load


def main(rounds: Annotated[int, typer.Option(min=1, help="Repeats of each step.")] = 9) -> None:
    """Print a table row for each model."""
    use_one_thread()
    print("| model | size | keep | into MLflow | load |\n|---|---|---|---|---|")
    for model in sorted(MODELS.builtin):
        with tempfile.TemporaryDirectory() as folder:
            size, *times = measure(model, rounds, folder)
        print(f"| `{model}` | {size / 1e6:.2f} MB | {' | '.join(f'{1000 * t:.0f} ms' for t in times)} |")


if __name__ == "__main__":
    typer.run(main)
