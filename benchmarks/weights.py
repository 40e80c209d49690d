"""The cost of --keep-weights for a trial: bytes, and processor time to keep and load the model.

Run `python -m benchmarks.weights`. Each model is trained for a moment; then its weights are packed and written to a
folder, mirrored into MLflow on SQLite, and read back by `trainables.load_model`, `--rounds` times. Medians are printed.
"""

import tempfile
from functools import partial
from typing import Annotated, Any
from uuid import uuid4

import typer

from benchmarks.timing import in_turn, processor_seconds
from records import SweepRecords, open_storage
from records.mirror import mirror_trial, mirror_weights, open_experiment
from records.store import WEIGHTS, Record
from trainables import MODELS, Trial, load_model, resolve, run_trial
from trainables.core.process import use_one_thread
from trainables.trial.finished import pack_weights

SMALL: dict[str, Any] = {"n_train": 16, "n_valid": 16, "n_test": 16, "epochs": 1, "batch_size": 8}
SMALL |= {"attribution_images": 2, "integrated_gradients_steps": 2}


def measure(model: str, rounds: int, folder: str) -> str:
    """A model's row of the table."""
    config = resolve({"model": model, **SMALL})
    trial, key = Trial(config), config.trial_key
    trial.train_epoch()
    records = SweepRecords(open_storage(folder), "weights")
    record = run_trial(model=model, **SMALL).record
    records.write(record)
    experiment = open_experiment(f"sqlite:///{folder}/mlflow.db", "weights", f"file://{folder}/artifacts")

    def keep(trial_key: str = key) -> None:
        records.write_artifact(trial_key, WEIGHTS, pack_weights(trial, config))

    def mirror() -> float:
        copy = Record({**record, "trial_key": uuid4().hex})
        keep(copy["trial_key"])
        run = {copy["trial_key"]: mirror_trial(experiment, records, copy, {}, weights=False)}
        return processor_seconds(lambda: mirror_weights(experiment, records, run, run))

    load = partial(load_model, "weights", key, storage=folder)
    ways = {"keep": lambda: processor_seconds(keep), "mirror": mirror, "load": lambda: processor_seconds(load)}
    milliseconds = " | ".join(f"{1000 * seconds:.0f} ms" for seconds in in_turn(ways, rounds).median())
    return f"| `{model}` | {len(records.read_artifact(key, WEIGHTS) or b'') / 1e6:.2f} MB | {milliseconds} |"


def main(rounds: Annotated[int, typer.Option(min=1, help="Repeats of each step.")] = 9) -> None:
    """Print a table row for each model."""
    use_one_thread()
    print("| model | size | keep | into MLflow | load |\n|---|---|---|---|---|")
    for model in sorted(MODELS.builtin):
        with tempfile.TemporaryDirectory() as folder:
            print(measure(model, rounds, folder))


if __name__ == "__main__":
    typer.run(main)
